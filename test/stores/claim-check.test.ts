import { randomBytes } from 'node:crypto'
import { openStore } from '@tidemark/stores'
import { serviceStore } from '@tidemark/stores/client'
import { chunksIn, claimCheck, keyRing, pipeline } from '@tidemark/stores/codecs'
import { testStateStore } from '@tidemark/stores/conformance'
import { memoryContexts } from '@tidemark/stores/context'
import { MemoryBackend } from '@tidemark/stores/memory'
import { describe, expect, test } from 'vitest'
import { serve } from '../state-service/served.ts'

describe('memory with a claim check', () => {
  const backend = new MemoryBackend()
  const objects = memoryContexts()
  const keys = keyRing({ keys: { a: randomBytes(32) }, current: 'a' })
  const codec = claimCheck({ objects, above: 0, codec: pipeline({ keys }) })
  testStateStore(
    'memory',
    () => ({ open: (options) => openStore(backend, { codec, ...options }) }),
    {
      without: {
        killed: 'no server',
        down: 'no server',
        'half-open': 'no server',
        large: 'tried below',
      },
    },
  )
})

test('a large value is an object, and what the object store answers else is not believed', async () => {
  const objects = memoryContexts()
  const codec = claimCheck({ objects, above: 100 })
  const backend = Object.assign(new MemoryBackend(), { mostBytes: 400 })
  await using store = openStore(backend, { codec })
  const large = { text: 'x'.repeat(10_000), at: new Date(0) }
  await store.put('small', { value: 'y' })
  await store.put('large', { value: large })
  expect(objects.objects.size).toBe(1)
  expect((await store.get('large'))?.value).toEqual(large)
  const [name, text] = [...objects.objects][0] ?? ['', '']
  const kept = objects.objects as Map<string, string | Uint8Array>
  kept.set(name, String(text).replace('xx', 'xy'))
  const unreadable = { code: 'TIDEMARK_STATE_UNREADABLE' }
  await expect(store.get('large')).rejects.toMatchObject(unreadable)
  kept.delete(name)
  await expect(store.get('large')).rejects.toMatchObject(unreadable)
  kept.set(name, text)
  // Copied under another key by whoever can write to the backend.
  const [state] = await backend.read(['large'])
  const stolen = { ...state, key: 'stolen' } as NonNullable<typeof state>
  await expect(codec.decode(stolen.body ?? '', stolen)).rejects.toMatchObject(unreadable)
})

test('objects are swept that no state refers to, and no others', async () => {
  const objects = memoryContexts()
  const codec = claimCheck({ objects, above: 10 })
  await using store = openStore(new MemoryBackend(), { codec })
  const value = 'x'.repeat(100)
  for (const key of ['kept', 'replaced', 'deleted', 'odd/ü key']) await store.put(key, { value })
  await store.put('replaced', { value: `${value}y` })
  await store.delete('deleted')
  await expect(store.create('kept', { value })).rejects.toMatchObject({
    code: 'TIDEMARK_STATE_EXISTS',
  })
  expect(objects.objects.size).toBe(6)
  expect(await codec.sweep(store)).toBe(0)
  expect(await Promise.all([codec.sweep(store, 0), codec.sweep(store, 0)])).toContain(3)
  expect(objects.objects.size).toBe(3)
  for (const key of ['kept', 'odd/ü key']) expect((await store.get(key))?.value).toBe(value)
  expect((await store.get('replaced'))?.value).toBe(`${value}y`)
})

test('an object store that is away is said to be, and no state is written', async () => {
  const objects = { ...memoryContexts(), put: () => Promise.reject(new Error('away')) }
  const codec = claimCheck({ objects, above: 10 })
  await using store = openStore(new MemoryBackend(), { codec })
  await expect(store.put('a', { value: 'x'.repeat(100) })).rejects.toMatchObject({
    code: 'TIDEMARK_STORE_UNAVAILABLE',
  })
  expect(await store.get('a')).toBeUndefined()
})

test('a value in chunks is read whole or not at all, and what a dead writer has left is swept', async () => {
  const backend = Object.assign(new MemoryBackend(), { mostBytes: 2_000 })
  const chunks = openStore(backend)
  const objects = chunksIn(chunks, { chunkBytes: 1_000 })
  const codec = claimCheck({ objects, above: 1_000 })
  await using store = openStore(Object.assign(new MemoryBackend(), { mostBytes: 2_000 }), { codec })
  // Characters of three bytes, which chunks cut in two.
  const value = `${'ま'.repeat(4_000)}\u{1F600}"\\`
  const key = 'k'.repeat(256)
  await store.put(key, { value })
  expect((await store.get(key))?.value).toBe(value)
  expect((await chunks.list()).states.length).toBe(13)

  const [part] = (await chunks.list({ status: 'rest' })).states
  await chunks.delete(part?.key ?? '')
  await expect(store.get(key)).rejects.toMatchObject({ code: 'TIDEMARK_STATE_UNREADABLE' })
  await chunks.put(part?.key ?? '', { value: part?.value, status: 'rest' })
  expect((await store.get(key))?.value).toBe(value)

  // A writer that dies in the middle has written the first chunk, and some others.
  const signal = new AbortController()
  const dying = chunksIn(
    new Proxy(chunks, {
      get: (target, name) => {
        if (name === 'put' && putting++ === 3) signal.abort(new Error('died'))
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? (member.bind(target) as unknown) : member
      },
    }),
    { chunkBytes: 1_000 },
  )
  let putting = 0
  const late = { version: 1, sha256: '', signal: signal.signal }
  await expect(dying.put('claims/YQ/1-x', 'x'.repeat(20_000), late)).rejects.toThrow('died')
  expect((await chunks.list({ limit: 100 })).states.length).toBeGreaterThan(14)
  expect(await codec.sweep(store)).toBe(1)
  expect((await chunks.list({ limit: 100 })).states.length).toBe(13)
  await store.delete(key)
  expect(await codec.sweep(store, 0)).toBe(1)
  expect((await chunks.list()).states).toEqual([])
})

test('a sweep through a store that does not have the codec is refused, and deletes nothing', async () => {
  const objects = memoryContexts()
  const codec = claimCheck({ objects, above: 10 })
  const store = openStore(new MemoryBackend(), { codec })
  await store.put('kept', { value: 'x'.repeat(100) })
  const { socket } = await serve({ store })
  await using remote = serviceStore({ socket })
  for (const [other, olderThan] of [
    [remote, 0],
    [undefined, 0],
    [store, -1],
    [store, Number.NaN],
  ] as const) {
    await expect(codec.sweep(other as never, olderThan)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  }
  expect(await codec.sweep(store, 0)).toBe(0)
  expect(objects.objects.size).toBe(1)
})

test('a sweep leaves what a value that cannot be read may refer to, and goes on', async () => {
  const objects = memoryContexts()
  const backend = new MemoryBackend()
  const encrypting = pipeline({ keys: keyRing({ keys: { a: randomBytes(32) }, current: 'a' }) })
  const former = claimCheck({ objects, above: 1_000, codec: encrypting })
  const store = openStore(backend, { codec: former })
  await store.put('lost', { value: randomBytes(2_000).toString('hex') })
  await store.put('lost', { value: 'small' })
  const codec = claimCheck({ objects, above: 1_000 })
  const present = openStore(backend, { codec })
  await present.put('gone', { value: 'x'.repeat(2_000) })
  await present.delete('gone')
  expect(await codec.sweep(present, 0)).toBe(1)
  expect(objects.objects.size).toBe(1)
  expect(await former.sweep(store, 0)).toBe(1)
})
