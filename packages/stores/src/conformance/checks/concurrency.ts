import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { isTidemarkError } from 'tidemark'
import type { StateStore } from '../../contract/state-store.ts'
import type { ConformanceSubject } from '../subject.ts'
import { refusedWith, unique, until, type Checks } from './check.ts'

const racers = 20

export const concurrencyChecks: Checks<
  | 'one-creator'
  | 'one-updater'
  | 'zombie'
  | 'zombie-deleted'
  | 'zombie-expired'
  | 'no-token'
  | 'lost-answer'
> = {
  async 'one-creator'(subject) {
    const key = unique('race')
    const winners = await race(subject, 'TIDEMARK_STATE_EXISTS', (store, racer) =>
      store.create(key, { value: racer }),
    )
    await using store = subject.open()
    const state = await store.get(key)
    assert.deepEqual(winners, [state?.value])
    assert.equal(state?.version, 1)
  },

  async 'one-updater'(subject) {
    const key = unique('race')
    await using store = subject.open()
    await store.create(key, { value: 'first' })
    const winners = await race(subject, 'TIDEMARK_STATE_CONFLICT', (racer, index) =>
      racer.update(key, { value: index }, { ifVersion: 1 }),
    )
    const state = await store.get(key)
    assert.deepEqual(winners, [state?.value])
    assert.equal(state?.version, 2)
  },

  async zombie(subject) {
    const key = unique('zombie')
    await using frozen = subject.open()
    await using next = subject.open()
    await frozen.create(key, { value: 'frozen', status: 'running' }, { token: 7n })
    await next.update(key, { value: 'next' }, { token: 8n })
    const late = { token: 7n }
    await refusedWith('TIDEMARK_STATE_FENCED', frozen.update(key, { value: 'late' }, late))
    await refusedWith('TIDEMARK_STATE_FENCED', frozen.put(key, { value: 'late' }, late))
    await refusedWith('TIDEMARK_STATE_FENCED', frozen.create(key, { value: 'late' }, late))
    await refusedWith('TIDEMARK_STATE_FENCED', frozen.delete(key, late))
    await refusedWith(
      'TIDEMARK_STATE_FENCED',
      frozen.update(key, { status: 'done' }, { token: 7n, ifVersion: 2 }),
    )
    const state = await next.get(key)
    assert.deepEqual([state?.value, state?.status, state?.version], ['next', 'running', 2])
    assert.equal(state?.token, 8n)
    // Its own token it may use again, as large as a token gets, and any that is above.
    await next.update(key, { value: 'again' }, { token: 8n })
    const most = 2n ** 63n - 1n
    assert.equal((await next.update(key, { value: 'most' }, { token: most })).token, most)
    await refusedWith('TIDEMARK_STATE_FENCED', next.put(key, { value: 0 }, { token: most - 1n }))
  },

  async 'zombie-deleted'(subject) {
    const key = unique('zombie')
    await using store = subject.open()
    await store.create(key, { value: 'frozen' }, { token: 9n })
    assert.equal(await store.delete(key, { token: 10n }), true)
    await refusedWith('TIDEMARK_STATE_FENCED', store.create(key, { value: 'late' }, { token: 9n }))
    await refusedWith('TIDEMARK_STATE_FENCED', store.put(key, { value: 'late' }, { token: 9n }))
    assert.equal(await store.get(key), undefined)
    await store.create(key, { value: 'new' }, { token: 11n })
    assert.equal((await store.get(key))?.value, 'new')
  },

  async 'zombie-expired'(subject) {
    const key = unique('zombie')
    await using store = subject.open()
    await store.create(key, { value: 'brief', ttl: 1 }, { token: 9n })
    await until('the state expires', async () => (await store.get(key)) === undefined)
    await refusedWith('TIDEMARK_STATE_FENCED', store.put(key, { value: 'late' }, { token: 8n }))
    assert.equal(await store.get(key), undefined)
  },

  async 'no-token'(subject) {
    const key = unique('token')
    await using store = subject.open()
    await store.create(key, { value: 1 })
    await store.update(key, { value: 2 })
    await store.update(key, { value: 3 }, { token: 1n })
    await refusedWith('TIDEMARK_STATE_FENCED', store.update(key, { value: 4 }))
    await refusedWith('TIDEMARK_STATE_FENCED', store.delete(key))
    assert.equal((await store.get(key))?.value, 3)
  },

  async 'lost-answer'(subject) {
    await using store = subject.open()
    const key = unique('repeated')
    const creation = { token: 3n, writeId: randomUUID() }
    const first = await store.create(key, { value: 1 }, creation)
    const second = await store.create(key, { value: 1 }, creation)
    assert.deepEqual([first.version, second.version], [1, 1])
    const change = { token: 3n, writeId: randomUUID(), ifVersion: 1 }
    await store.update(key, { value: 2 }, change)
    assert.equal((await store.update(key, { value: 2 }, change)).version, 2)
    const end = { token: 3n, writeId: randomUUID(), ifVersion: 2 }
    assert.equal(await store.delete(key, end), true)
    assert.equal(await store.delete(key, end), true)
    await refusedWith('TIDEMARK_STATE_FENCED', store.create(key, { value: 4 }, { token: 2n }))
    assert.equal((await store.create(key, { value: 4 }, { token: 3n })).version, 4)
  },
}

/** Lets all try at once, each with a client of its own. Answers those who were not refused. */
async function race(
  subject: ConformanceSubject,
  code: 'TIDEMARK_STATE_EXISTS' | 'TIDEMARK_STATE_CONFLICT',
  attempt: (store: StateStore, racer: number) => Promise<unknown>,
): Promise<number[]> {
  await using clients = new AsyncDisposableStack()
  const stores = Array.from({ length: racers }, () => clients.use(subject.open()))
  // Connected before they start.
  for (const { ok, error } of await Promise.all(stores.map((store) => store.health()))) {
    assert.ok(ok, String(error))
  }
  const winners: number[] = []
  await Promise.all(
    stores.map(async (store, racer) => {
      try {
        await attempt(store, racer)
        winners.push(racer)
      } catch (error) {
        if (!isTidemarkError(error, code)) throw error
      }
    }),
  )
  return winners
}
