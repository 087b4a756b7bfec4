import assert from 'node:assert/strict'
import type { BatchWrite } from '../../contract/batch.ts'
import type { StateStore } from '../../contract/state-store.ts'
import type { SyncEntry } from '../../contract/sync.ts'
import { refusedWith, unique, type Checks } from './check.ts'

export const refusalChecks: Checks<'own' | 'refusals'> = {
  async own(subject) {
    await using store = subject.open()
    const key = unique('own')
    const answer = await store.create(key, { value: { n: 1 }, status: key, fields: { n: 1 } })
    const read = await store.get(key)
    for (const state of [answer, read, (await store.list({ status: key })).states[0]]) {
      assert.deepEqual([state?.value, state?.status, state?.fields], [{ n: 1 }, key, { n: 1 }])
      Object.assign(state?.value as object, { n: 3 })
      Object.assign(state?.fields as object, { n: 3 })
      state?.createdAt.setTime(0)
    }
    const again = await store.get(key)
    assert.deepEqual([again?.value, again?.fields], [{ n: 1 }, { n: 1 }])
    assert.ok((again?.createdAt.getTime() ?? 0) > 0)
  },

  async refusals(subject) {
    await using store = subject.open()
    const key = unique('refusal')
    await store.create(key, { value: 1 })
    for (const ask of meaningless(store, key)) {
      // Some are refused before there is a promise.
      await refusedWith('TIDEMARK_INVALID_OPTION', (async () => ask())())
    }
    const outcomes = await store.batch([
      null as unknown as BatchWrite,
      { op: 'update', key, change: { value: 2 }, ifVerison: 9 } as BatchWrite,
      { op: 'delete', key, token: 7 } as unknown as BatchWrite,
      { op: 'toString', key } as unknown as BatchWrite,
      { op: 'put', key: '', state: { value: 2 } },
      { op: 'put', key, state: { value: 2 }, ifVersion: 1 },
    ])
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.ok ? outcome.state?.value : outcome.error.code)),
      [...Array.from({ length: 5 }, () => 'TIDEMARK_INVALID_OPTION'), 2],
    )
    const { version, value } = (await store.get(key)) ?? {}
    assert.deepEqual([version, value], [2, 2])
  },
}

function meaningless(store: StateStore, key: string): readonly (() => Promise<unknown>)[] {
  const place = (...parts: unknown[]): string =>
    Buffer.from(JSON.stringify(parts)).toString('base64url')
  const places = [
    place(-9_007_199_254_740_991, 'x'),
    place(5, '\0'),
    place(5, '\ud800'),
    place(5, 'x'.repeat(5_000)),
    place(1.5, 'x'),
    '',
  ]
  const entries = [5, [null], [{ key: '' }], [{ key, token: 5 }], [{ key, vresion: 1 }]]
  return [
    ...places.map((after) => () => store.list({ after })),
    ...entries.map((some) => () => store.sync(some as unknown as SyncEntry[], { remove: true })),
    () => store.sync([], { filter: null, remove: true } as never),
    () => store.sync([], { filter: { stauts: 'x' }, remove: true } as never),
    () => store.list({ createdFrom: '2020-01-01' } as never),
    () => store.list({ createdBefore: new Date(8.64e15) }),
    () => store.getMany('abc' as never),
    () => store.batch('abc' as never),
    () => store.get('half \ud800'),
    () => store.get('nul \0'),
    () => store.put('x'.repeat(257), { value: 1 }),
    () => store.put(key, { value: 1 }, { token: 5 } as never),
    () => store.put(key, { value: 1 }, { token: 2n ** 63n }),
    () => store.put(key, { value: 1 }, { ifVersion: null } as never),
    () => store.delete(key, { ifVerison: 1 } as never),
    () => store.update(key, { valeu: 1 } as never),
  ]
}
