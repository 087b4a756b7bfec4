import assert from 'node:assert/strict'
import type { StateStore } from '../../contract/state-store.ts'
import { refusedWith, unique, until, type Checks } from './check.ts'

const everything = {
  text: 'Grüße, 世界 🌊 "\\\n',
  nothing: null,
  absent: undefined,
  numbers: [0, -0, 0.1, -1e300, Number.NaN, Number.POSITIVE_INFINITY],
  large: 2n ** 80n,
  at: new Date(1_764_000_000_123),
  map: new Map([['a', new Set([1n])]]),
  bytes: new Uint8Array([0, 255, 128]),
  deep: { list: [{ x: [[]] }], '': 'an empty name' },
}

export const valueChecks: Checks<
  'exact' | 'keys' | 'partial' | 'missing' | 'versions' | 'ttl' | 'large' | 'sweep'
> = {
  async exact(subject) {
    await using store = subject.open()
    for (const value of [everything, null, undefined, 0, '', 'x', [], [[1]], new Date(0)]) {
      const key = unique('value')
      const created = await store.create(key, { value })
      assert.deepStrictEqual(created.value, value)
      assert.deepStrictEqual((await store.get(key))?.value, value)
    }
    const fields = { text: '', flag: false, number: -1.5, huge: 1e21, long: 'ä'.repeat(128) }
    const key = unique('value')
    await store.create(key, { value: 1, name: 'Nä/me', status: 'läuft {}', fields })
    const state = await store.get(key)
    assert.deepStrictEqual(state?.fields, fields)
    assert.deepStrictEqual([state.name, state.status], ['Nä/me', 'läuft {}'])
    assert.deepStrictEqual(
      [state.version, state.token, state.expiresAt, state.updatedAt.getTime()],
      [1, 0n, null, state.createdAt.getTime()],
    )
  },

  async keys(subject) {
    await using store = subject.open()
    const run = unique('')
    const ends = [
      'a',
      'A',
      ' ',
      '/',
      '//',
      '..',
      '.',
      '%2F',
      '?x=1#y',
      '*{}[]\\',
      '\n',
      'ü',
      '𝄞',
      ':',
    ]
    const keys = [...ends.map((end) => `${run}${end}`), ...ends.map((end) => `${end}${run}`)]
    const longest = run + 'ü'.repeat(Math.floor((256 - run.length) / 2))
    for (const key of [...keys, longest]) await store.create(key, { value: key })
    for (const key of [...keys, longest]) assert.equal((await store.get(key))?.value, key)
    const found = await store.getMany([...keys, `${run}none`])
    assert.deepEqual(
      found.map((state) => state?.value),
      [...keys, undefined],
    )
    await refusedWith('TIDEMARK_INVALID_OPTION', store.get(''))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.get('a\0'))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.get('a\uD800'))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.get('x'.repeat(257)))
  },

  async partial(subject) {
    await using store = subject.open()
    const key = unique('partial')
    const whole = { value: [1], name: 'n', status: 'new', fields: { a: 1 }, ttl: 3_600_000 }
    const created = await store.create(key, whole)
    await store.update(key, { status: 'done' })
    await store.update(key, { value: [2] })
    const state = await store.update(key, { fields: { b: 'x' } })
    assert.deepEqual(
      [state.value, state.name, state.status, state.fields, state.version],
      [[2], 'n', 'done', { b: 'x' }, 4],
    )
    assert.deepEqual(state.createdAt, created.createdAt)
    assert.deepEqual(state.expiresAt, created.expiresAt)
    assert.ok(state.updatedAt >= created.updatedAt)
    const bare = await store.update(key, { status: null, name: null, ttl: null })
    assert.deepEqual([bare.status, bare.name, bare.expiresAt, bare.value], [null, null, null, [2]])
    const put = await store.put(key, { value: undefined })
    assert.deepEqual([put.value, put.fields, put.version], [undefined, {}, 6])
    assert.deepEqual(await store.get(key), put)
  },

  async missing(subject) {
    await using store = subject.open()
    const key = unique('missing')
    assert.equal(await store.get(key), undefined)
    assert.equal(await store.delete(key), false)
    await refusedWith('TIDEMARK_STATE_MISSING', store.update(key, { value: 1 }))
    await refusedWith('TIDEMARK_STATE_MISSING', store.put(key, { value: 1 }, { ifVersion: 3 }))
    await store.put(key, { value: 1 })
    await refusedWith('TIDEMARK_STATE_CONFLICT', store.put(key, { value: 2 }, { ifVersion: 3 }))
    await refusedWith('TIDEMARK_STATE_CONFLICT', store.delete(key, { ifVersion: 3 }))
    assert.equal(await store.delete(key, { ifVersion: 1 }), true)
    assert.equal(await store.delete(key), false)
    await refusedWith('TIDEMARK_STATE_MISSING', store.update(key, { status: 'x' }))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.put(key, { value: 1 }, { token: -1n }))
    await refusedWith('TIDEMARK_INVALID_OPTION', store.put(key, { value: 1, ttl: 0.5 }))
  },

  async versions(subject) {
    await using store = subject.open()
    const key = unique('versions')
    await store.create(key, { value: 'first' })
    await store.delete(key)
    const again = await store.create(key, { value: 'second' })
    // Whoever has read version 1 and decides late must not meet another version 1.
    assert.equal(again.version, 3)
    await refusedWith('TIDEMARK_STATE_CONFLICT', store.update(key, { value: 0 }, { ifVersion: 1 }))
    await store.delete(key)
    await refusedWith('TIDEMARK_STATE_CONFLICT', store.create(key, { value: 0 }, { ifVersion: 3 }))
    assert.equal((await store.create(key, { value: 'third' }, { ifVersion: 4 })).version, 5)
    await refusedWith('TIDEMARK_STATE_EXISTS', store.create(key, { value: 0 }, { ifVersion: 5 }))
  },

  async ttl(subject) {
    await using store = subject.open()
    const name = unique('brief')
    const keys = [unique('long'), unique('brief')]
    for (const [index, ttl] of [600_000, 300].entries()) {
      const key = keys[index] as string
      const { createdAt, expiresAt } = await store.create(key, { value: 1, name, ttl })
      assert.equal((expiresAt?.getTime() ?? 0) - createdAt.getTime(), ttl)
    }
    await store.update(keys[0] as string, { ttl: 3_600_000 })
    await until('the state expires', async () => (await store.get(keys[1] as string)) === undefined)
    const { states } = await store.list({ name })
    assert.deepEqual(
      states.map(({ key }) => key),
      [keys[0]],
    )
    await refusedWith('TIDEMARK_STATE_MISSING', store.update(keys[1] as string, { value: 2 }))
    assert.equal(await store.delete(keys[1] as string), false)
    assert.ok((await store.create(keys[1] as string, { value: 3 })).version > 1)
  },

  async large(subject) {
    const backend = subject.backend?.()
    assert.ok(backend !== undefined, 'the subject gives no backend')
    const most = backend.mostBytes
    await backend.close()
    await using store = subject.open({ timeout: 60_000 })
    const key = unique('large')
    await refusedWith(
      'TIDEMARK_STATE_TOO_LARGE',
      store.create(key, { value: 'x'.repeat(most - 10) }),
    )
    assert.equal(await store.get(key), undefined)
    // Half a megabyte where that is allowed: more than what fits a packet, a page or a buffer.
    const length = Math.min(most - 11, 500_000)
    await store.create(key, { value: 'x'.repeat(length) })
    assert.equal((await store.get(key))?.value, 'x'.repeat(length))
  },

  async sweep(subject) {
    await using store = subject.open()
    await using forgetful = subject.open({ remember: 0 })
    const [lives, remembered, forgotten] = [unique('l'), unique('r'), unique('f')] as const
    await store.create(lives, { value: 1, ttl: 3_600_000 })
    await store.create(remembered, { value: 1 }, { token: 5n })
    await store.delete(remembered, { token: 5n })
    await forgetful.create(forgotten, { value: 1 }, { token: 5n })
    await forgetful.delete(forgotten, { token: 5n })
    await sweepAll(store)
    assert.equal((await store.get(lives))?.value, 1)
    await refusedWith('TIDEMARK_STATE_FENCED', store.create(remembered, { value: 2 }))
    assert.equal((await store.create(forgotten, { value: 2 })).version, 1)
  },
}

async function sweepAll(store: StateStore): Promise<void> {
  while ((await store.sweep()) > 0) {
    // Until nothing is left.
  }
}
