import { randomBytes } from 'node:crypto'
import { openStore, type StateStore } from '@tidemark/stores'
import { serviceStore } from '@tidemark/stores/client'
import {
  chunksIn,
  claimCheck,
  keyRing,
  pipeline,
  rewrite,
  type KeyRing,
} from '@tidemark/stores/codecs'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { describe, expect, onTestFinished, test } from 'vitest'
import { serve } from '../state-service/served.ts'

const key = (): Uint8Array => randomBytes(32)

/** Three people's states, and one of them is forgotten: her key is lost. */
async function withOneForgotten(): Promise<StateStore> {
  const backend = new MemoryBackend()
  const ring = keyRing({
    keys: { a: key() },
    current: 'a',
    subjectOf: (name) => name.split('/')[0] ?? '',
  })
  const store = openStore(backend, { codec: pipeline({ keys: ring }) })
  for (const person of ['ann', 'bob', 'cyd']) {
    await store.put(`${person}/card`, { value: person, status: 'valid' }, { token: 7n })
  }
  const lost = ring.idFor({ key: 'bob/card', version: 1 })
  const keys: KeyRing = {
    idFor: (place) => ring.idFor(place),
    keyOf: (id) => (id === lost ? undefined : ring.keyOf(id)),
  }
  return openStore(backend, { codec: pipeline({ keys }) })
}

async function throughService(store: StateStore): Promise<StateStore> {
  const { socket } = await serve({ store })
  const remote = serviceStore({ socket })
  onTestFinished(() => remote[Symbol.asyncDispose]())
  return remote
}

describe.each([
  ['here', (store: StateStore) => Promise.resolve(store)],
  ['behind a state service', throughService],
] as const)('of a store %s, whose keys are not all there,', (_, at) => {
  test('the others are listed, and read', async () => {
    const store = await at(await withOneForgotten())
    await expect(store.list()).rejects.toMatchObject({ code: 'TIDEMARK_STATE_UNREADABLE' })
    const page = await store.list({ onUnreadable: 'skip' })
    expect(page.states.map(({ value }) => value)).toEqual(['cyd', 'ann'])
    expect(page.unreadable).toEqual([
      { key: 'bob/card', version: 1, token: 7n, problem: expect.stringContaining('the key "a.') },
    ])
    const names = ['ann/card', 'bob/card']
    await expect(store.getMany(names)).rejects.toMatchObject({ code: 'TIDEMARK_STATE_UNREADABLE' })
    const [ann, bob] = await store.getMany(names, { onUnreadable: 'skip' })
    expect([ann?.value, bob]).toEqual(['ann', undefined])
  })

  test('what cannot be read is named by a rewrite, which goes on, and can be deleted by its version', async () => {
    const store = await at(await withOneForgotten())
    expect(await rewrite(store)).toEqual({
      rewritten: 2,
      passed: 0,
      unreadable: ['bob/card'],
      next: null,
    })
    const report = await store.sync([{ key: 'ann/card' }, { key: 'cyd/card' }], { remove: true })
    expect(report).toMatchObject({ missing: [], extra: ['bob/card'], removed: 1, refused: [] })
    expect((await store.list()).states).toHaveLength(2)
  })

  test('a page is asked for in a way that there is', async () => {
    const store = await at(await withOneForgotten())
    const invalid = { code: 'TIDEMARK_INVALID_OPTION' }
    await expect(store.list({ onUnreadable: 'ignore' } as never)).rejects.toMatchObject(invalid)
    await expect(store.getMany([], { onUnreadable: true } as never)).rejects.toMatchObject(invalid)
  })
})

test('a value whose key is lost is missing for sync, and is written anew', async () => {
  const backend = new MemoryBackend()
  const old = pipeline({ keys: keyRing({ keys: { a: key() }, current: 'a' }) })
  const present = pipeline({ keys: keyRing({ keys: { b: key() }, current: 'b' }) })
  await openStore(backend, { codec: old }).put('k', { value: 1 })
  const store = openStore(backend, { codec: present })
  const report = await store.sync([{ key: 'k', state: { value: 2 } }], { write: true })
  expect(report).toMatchObject({ missing: ['k'], written: 1, refused: [] })
  expect((await store.get('k'))?.value).toBe(2)
})

test('a state that is written in the former way while it is rewritten is rewritten all the same', async () => {
  const backend = new MemoryBackend()
  const [a, b] = [key(), key()]
  const former = openStore(backend, {
    codec: pipeline({ keys: keyRing({ keys: { a, b }, current: 'a' }) }),
  })
  const present = openStore(backend, {
    codec: pipeline({ keys: keyRing({ keys: { a, b }, current: 'b' }) }),
  })
  for (const name of ['one', 'two', 'gone']) await former.put(name, { value: 1 }, { token: 1n })
  const list = present.list.bind(present)
  present.list = async (options) => {
    const page = await list(options)
    // By a process that does not have the new key ring yet.
    await former.put('one', { value: 2 }, { token: 9n })
    await former.delete('gone', { token: 9n })
    return page
  }
  expect(await rewrite(present)).toEqual({ rewritten: 2, passed: 1, unreadable: [], next: null })
  const alone = openStore(backend, {
    codec: pipeline({ keys: keyRing({ keys: { b }, current: 'b' }) }),
  })
  const states = await alone.getMany(['one', 'two'])
  expect(states.map((state) => [state?.value, state?.token])).toEqual([
    [2, 9n],
    [1, 1n],
  ])
})

describe('a key ring', () => {
  const ringOf = (options: object) => (): unknown => keyRing(options as never)

  test.each([
    ['no keys', { current: 'a' }],
    ['a text, whose characters would be taken for numbers', { keys: { a: '0'.repeat(32) } }],
    ['a list of numbers', { keys: { a: Array.from({ length: 32 }, () => 300) } }],
    ['a key that is too short', { keys: { a: new Uint8Array(16) } }],
    ['a current key that is not among them', { keys: { b: key() } }],
    ['something else than a function for subjects', { keys: { a: key() }, subjectOf: 'tenant' }],
  ])('does not take %s', (_, options) => {
    expect(ringOf({ current: 'a', ...options })).toThrow(
      expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }),
    )
  })

  test.each([
    ['throws', () => Promise.reject(new Error('the key service is away')), 'STORE_UNAVAILABLE'],
    ['has too few bytes', () => new Uint8Array(16), 'CALLBACK_FAILED'],
    ['answers a text', () => 'secret' as never, 'CALLBACK_FAILED'],
    ['does not have the key', () => undefined, 'PAYLOAD_NOT_STORABLE'],
  ])('that %s fails a write, by its own error', async (_, keyOf: KeyRing['keyOf'], code) => {
    const store = memoryStore({ codec: pipeline({ keys: { idFor: () => 'a', keyOf } }) })
    await expect(store.put('k', { value: 1 })).rejects.toMatchObject({ code: `TIDEMARK_${code}` })
    expect(await store.get('k')).toBeUndefined()
  })

  test.each([
    ['throws', () => JSON.parse('nonsense')],
    ['answers nothing', () => undefined],
    ['answers a number', () => 5],
  ])('whose function for subjects %s fails the write', async (_, subjectOf) => {
    const keys = keyRing({ keys: { a: key() }, current: 'a', subjectOf: subjectOf as never })
    const store = memoryStore({ codec: pipeline({ keys }) })
    await expect(store.put('k', { value: 1 })).rejects.toMatchObject({
      code: 'TIDEMARK_CALLBACK_FAILED',
    })
  })

  test('has a key for a subject with a name of any length', async () => {
    const long = 'ü'.repeat(10_000)
    const keys = keyRing({ keys: { a: key() }, current: 'a', subjectOf: (name) => long + name })
    const store = memoryStore({ codec: pipeline({ keys }) })
    await store.put('ann', { value: 1 })
    expect((await store.get('ann'))?.value).toBe(1)
    const ids = ['ann', 'bob'].map((name) => keys.idFor({ key: name, version: 1 }))
    expect(new Set(ids).size).toBe(2)
  })
})

test('a value that would become more than may be read is not compressed, and is read', async () => {
  const store = memoryStore({ codec: pipeline({ mostBytes: 10_000 }) })
  const value = 'y'.repeat(20_000)
  await store.put('large', { value })
  expect((await store.get('large'))?.value).toBe(value)
})

test.each([
  ['a serializer that is none', () => pipeline({ serializer: {} as never })],
  ['keys that are no ring', () => pipeline({ keys: { a: key() } as never })],
  ['a word for a boolean', () => pipeline({ acceptPlain: 'no' as never })],
  ['objects that are no store', () => claimCheck({ objects: {} as never })],
  [
    'a prefix that is no text',
    () => claimCheck({ objects: chunksIn(memoryStore()), prefix: 5 as never }),
  ],
  [
    'a codec that is none',
    () => claimCheck({ objects: chunksIn(memoryStore()), codec: {} as never }),
  ],
  ['chunks in no store', () => chunksIn({} as never)],
])('a codec is not made of %s', (_, make) => {
  expect(make).toThrow(expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }))
})
