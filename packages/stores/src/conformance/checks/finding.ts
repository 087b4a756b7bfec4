import assert from 'node:assert/strict'
import type { StateStore } from '../../contract/state-store.ts'
import type { ListOptions } from '../../contract/state.ts'
import type { StateEvent } from '../../contract/watch.ts'
import { refusedWith, unique, until, type Checks } from './check.ts'

export const findingChecks: Checks<'filters' | 'moved' | 'pages' | 'batches' | 'sync' | 'watch'> = {
  async filters(subject) {
    await using store = subject.open()
    const name = unique('filters')
    const status = (what: string): string => `${what}-${name}`
    const states = [
      { key: 'a', status: status('new'), fields: { host: 'x', rows: 1 } },
      { key: 'b', status: status('new'), fields: { host: 'y', rows: 1, '1': 'x' } },
      { key: 'c', status: status('done'), fields: { host: 'x', rows: '1' } },
    ]
    await refusedWith(
      'TIDEMARK_INVALID_OPTION',
      store.create(unique('b'), { value: 1, fields: { '1': 'x' } }),
    )
    const created = new Map<string, Date>()
    for (const { key, status: is, fields } of states) {
      const known = Object.fromEntries(Object.entries(fields).filter(([field]) => field !== '1'))
      const state = { value: key, name, status: is, fields: known }
      created.set(key, (await store.create(`${key}-${name}`, state)).createdAt)
      await tick(store, created.get(key) as Date)
    }
    await store.create(unique('other'), { value: 'other', name: unique('other') })
    const found = async (filter: ListOptions): Promise<unknown> =>
      (await all(store, filter)).map(({ value }) => value)
    assert.deepEqual(await found({ name }), ['c', 'b', 'a'])
    assert.deepEqual(await found({ status: status('new') }), ['b', 'a'])
    assert.deepEqual(await found({ status: [status('new'), status('done')] }), ['c', 'b', 'a'])
    assert.deepEqual(await found({ status: [] }), [])
    assert.deepEqual(await found({ name, fields: { host: 'x' } }), ['c', 'a'])
    assert.deepEqual(await found({ name, fields: { host: 'x', rows: 1 } }), ['a'])
    assert.deepEqual(await found({ name, fields: { rows: '1' } }), ['c'])
    assert.deepEqual(await found({ name, fields: { none: true } }), [])
    assert.deepEqual(await found({ name, createdFrom: created.get('b') as Date }), ['c', 'b'])
    assert.deepEqual(await found({ name, createdBefore: created.get('b') as Date }), ['a'])
    const { updatedAt } = await store.update(`a-${name}`, { status: status('done') })
    assert.deepEqual(await found({ name, updatedFrom: updatedAt }), ['a'])
    assert.deepEqual(await found({ name, updatedBefore: updatedAt }), ['c', 'b'])
    assert.deepEqual(await found({ status: status('new') }), ['b'])
    assert.deepEqual(await found({ status: status('done') }), ['c', 'a'])
    await store.delete(`c-${name}`)
    assert.deepEqual(await found({ status: status('done') }), ['a'])
    await refusedWith('TIDEMARK_INVALID_OPTION', store.list({ limit: 0 }))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.list({ after: 'nonsense' }))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.list({ createdFrom: new Date(Number.NaN) }))
  },

  async moved(subject) {
    // Nothing is remembered: a backend that removes by itself has removed it before anybody has swept.
    await using store = subject.open({ remember: 0 })
    const [key, other] = [unique('moved'), unique('stays')] as const
    const [before, now] = [unique('before'), unique('now')] as const
    await store.create(key, { value: 1, status: before, ttl: 1 })
    await store.create(other, { value: 2, status: before })
    await until('the state expires', async () => (await store.get(key)) === undefined)
    await store.put(key, { value: 3, status: now })
    const found = async (status: string): Promise<unknown[]> =>
      (await all(store, { status })).map(({ value }) => value)
    assert.deepEqual(await found(before), [2])
    assert.deepEqual(await found(now), [3])
    await store.delete(key)
    await store.put(key, { value: 3, status: now })
    assert.deepEqual(await found(now), [3])
    await store.update(key, { status: before })
    assert.deepEqual(new Set(await found(before)), new Set([2, 3]))
    assert.deepEqual(await found(now), [])
  },

  async pages(subject) {
    await using store = subject.open()
    const name = unique('pages')
    const status = name
    const put = (key: string) => ({ op: 'create', key, state: { value: 1, name, status } }) as const
    // Many at once: those of one millisecond are on one page or the next, and on no two.
    const keys = Array.from({ length: 57 }, (_, index) => `${name}-${index}`)
    for (const { ok } of await store.batch(keys.map(put))) assert.ok(ok)
    for (const filter of [{ name }, { status }, { name, status: [status, 'no such'] }]) {
      const seen: string[] = []
      for (let after: string | undefined, turn = 0; ; turn += 1) {
        const page = await store.list({
          ...filter,
          limit: 10,
          ...(after === undefined ? {} : { after }),
        })
        assert.ok(page.states.length <= 10)
        seen.push(...page.states.map(({ key }) => key))
        if (page.next === null) break
        after = page.next
        // Newer than what is still to come, and one that has been seen already.
        await store.create(unique('newer'), { value: 1, name, status })
        if (turn === 0) await store.update(seen[0] as string, { value: 2 })
      }
      assert.equal(new Set(seen).size, seen.length, 'a state was on two pages')
      for (const key of keys) assert.ok(seen.includes(key), `${key} was on no page`)
      const times = await store.getMany(seen)
      const inOrder = times.map((state) => state?.createdAt.getTime() ?? 0)
      assert.deepEqual(
        inOrder,
        inOrder.toSorted((a, b) => b - a),
      )
    }
  },

  async batches(subject) {
    await using store = subject.open()
    const [there, fresh, none] = [unique('b'), unique('b'), unique('b')] as const
    await store.create(there, { value: 0 }, { token: 4n })
    const outcomes = await store.batch([
      { op: 'create', key: there, state: { value: 1 }, token: 4n },
      { op: 'update', key: there, change: { value: 2 }, token: 4n },
      { op: 'create', key: fresh, state: { value: 3 } },
      { op: 'update', key: fresh, change: { value: 4 }, ifVersion: 1 },
      { op: 'delete', key: fresh },
      { op: 'put', key: fresh, state: { value: 5 } },
      { op: 'update', key: none, change: { value: 6 } },
      { op: 'put', key: there, state: { value: 7 }, token: 3n },
    ])
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.ok ? outcome.state?.value : outcome.error.code)),
      [
        'TIDEMARK_STATE_EXISTS',
        2,
        3,
        4,
        undefined,
        5,
        'TIDEMARK_STATE_MISSING',
        'TIDEMARK_STATE_FENCED',
      ],
    )
    assert.deepEqual(
      (await store.getMany([there, fresh, none])).map((state) => state?.value),
      [2, 5, undefined],
    )
  },

  async sync(subject) {
    await using store = subject.open()
    const name = unique('sync')
    const key = (end: string): string => `${name}-${end}`
    for (const [end, token] of [
      ['same', 5n],
      ['older', 4n],
      ['newer', 6n],
      ['extra', 1n],
    ] as const) {
      await store.create(key(end), { value: 'here', name }, { token })
    }
    const entries = ['same', 'older', 'newer', 'missing'].map((end) => ({
      key: key(end),
      token: 5n,
      state: { value: 'there', name },
    }))
    const differs = {
      missing: [key('missing')],
      older: [key('older')],
      newer: [key('newer')],
      extra: [key('extra')],
    }
    const look = await store.sync(entries, { filter: { name } })
    assert.deepEqual(look, { ...differs, written: 0, removed: 0, refused: [] })
    assert.equal(await store.get(key('missing')), undefined)
    const mended = await store.sync(entries, { filter: { name }, write: true, remove: true })
    assert.deepEqual(mended, { ...differs, written: 2, removed: 1, refused: [] })
    const states = await all(store, { name })
    assert.deepEqual(
      states
        .map((state) => `${state.key.slice(name.length + 1)} ${String(state.value)}`)
        .toSorted(),
      ['missing there', 'newer here', 'older there', 'same here'],
    )
  },

  async watch(subject) {
    await using watching = subject.open()
    await using writing = subject.open()
    assert.ok(watching.watch !== undefined, 'the store cannot be watched')
    const end = new AbortController()
    const key = unique('watched')
    const seen: StateEvent[] = []
    const changes = await watching.watch({ signal: end.signal })
    const watched = (async () => {
      for await (const event of changes) {
        if (event.key !== key) continue
        seen.push(event)
        if (event.is === 'deleted') end.abort()
      }
    })()
    await writing.create(key, { value: 1 })
    await writing.update(key, { value: 2 })
    await writing.delete(key)
    await watched
    assert.deepEqual(seen, [
      { is: 'written', key, version: 1 },
      { is: 'written', key, version: 2 },
      { is: 'deleted', key, version: 3 },
    ])
  },
}

/** Everything that a filter finds, page by page. */
async function all(store: StateStore, options: ListOptions) {
  const found = []
  for (let after: string | undefined, turn = 0; ; turn += 1) {
    assert.ok(turn < 1_000, 'the pages do not end')
    const page = await store.list({
      ...options,
      limit: 2,
      ...(after === undefined ? {} : { after }),
    })
    found.push(...page.states)
    if (page.next === null) return found
    after = page.next
  }
}

/** Waits until the backend's clock shows a later time. */
async function tick(store: StateStore, than: Date): Promise<void> {
  for (;;) {
    const { createdAt } = await store.create(unique('tick'), { value: 1 })
    if (createdAt > than) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}
