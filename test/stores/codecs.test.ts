import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { openStore, type StateCodec } from '@tidemark/stores'
import { keyRing, messagePack, pipeline, rewrite } from '@tidemark/stores/codecs'
import { testStateStore } from '@tidemark/stores/conformance'
import { MemoryBackend } from '@tidemark/stores/memory'
import fc from 'fast-check'
import { isTidemarkError } from 'tidemark'
import { describe, expect, test } from 'vitest'

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 150)
const keys = keyRing({ keys: { a: randomBytes(32), b: randomBytes(32) }, current: 'a' })
const place = { key: 'k', version: 3 }

const pipelines = {
  json: pipeline({ compressFrom: 0 }),
  gzip: pipeline({ compression: 'gzip', compressFrom: 0 }),
  msgpack: pipeline({ serializer: messagePack(), compressFrom: 0 }),
  'msgpack, sealed': pipeline({ serializer: messagePack(), compressFrom: 0, keys }),
  'json, sealed': pipeline({ compression: 'none', keys }),
}

/** Whatever a state may hold. */
const values = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.jsonValue(),
    fc.double(),
    fc.bigInt(),
    fc.date(),
    fc.constantFrom(undefined, null, -0, 2n ** 64n, -(2n ** 63n), 2 ** 53, '', '~', '{}'),
    fc.uint8Array(),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4, noNullPrototype: true }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map((pairs) => new Map(pairs)),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => new Set(items)),
  ),
})).value

/** Undefined for what jsonb cannot hold, a text with NUL for instance: all codecs refuse that alike. */
async function encodedOrRefused(codec: StateCodec, value: unknown): Promise<string | undefined> {
  try {
    return await codec.encode(value, place)
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_PAYLOAD_NOT_STORABLE')) return undefined
    throw error
  }
}

describe('a pipeline', () => {
  test.each(Object.entries(pipelines))(
    'of %s brings every value back exactly',
    async (_, codec) => {
      await fc.assert(
        fc.asyncProperty(values, async (value) => {
          const body = await encodedOrRefused(codec, value)
          fc.pre(body !== undefined)
          expect(body.isWellFormed()).toBe(true)
          expect(await codec.decode(body, place)).toStrictEqual(value)
        }),
        { numRuns: runs },
      )
    },
  )

  test('of any kind reads what every other one has written', async () => {
    const value = { at: new Date(5), list: Array.from({ length: 50 }, (_, index) => ({ index })) }
    const reader = pipeline({ serializer: messagePack(), keys, acceptPlain: true })
    for (const codec of Object.values(pipelines)) {
      expect(await reader.decode(await codec.encode(value, place), place)).toStrictEqual(value)
    }
    const bare = await pipelines.msgpack.encode(value, place)
    await expect(pipelines.json.decode(bare, place)).rejects.toThrow(/messagePack/u)
  })

  test('refuses any bytes that it has not written, and ends for none', async () => {
    const body = await pipelines['msgpack, sealed'].encode({ a: ['text', 5n] }, place)
    const whole = Buffer.from(body.slice(1), 'base64')
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc
            .uint8Array({ maxLength: 200 })
            .map((bytes) => `~${Buffer.from(bytes).toString('base64')}`),
          fc
            .tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }))
            .map(([index, change]) => {
              const changed = Buffer.from(whole)
              changed[index] = (changed[index] as number) ^ change
              return `~${changed.toString('base64')}`
            }),
          fc
            .nat(whole.length - 1)
            .map((length) => `~${whole.subarray(0, length).toString('base64')}`),
        ),
        async (forged) => {
          const reading = Promise.resolve(pipelines['msgpack, sealed'].decode(forged, place))
          const error: unknown = await reading.then(
            () => undefined,
            (reason: unknown) => reason,
          )
          expect(isTidemarkError(error, 'TIDEMARK_STATE_UNREADABLE')).toBe(true)
        },
      ),
      { numRuns: runs * 4 },
    )
  })

  test('does not become more than it may', async () => {
    const bomb = Buffer.concat([Buffer.of(1, 1 << 2), gzipSync(Buffer.alloc(5_000_000))])
    const codec = pipeline({ mostBytes: 1_000_000 })
    await expect(codec.decode(`~${bomb.toString('base64')}`, place)).rejects.toMatchObject({
      code: 'TIDEMARK_STATE_UNREADABLE',
    })
  })
})

describe('an encrypted value', () => {
  const codec = pipeline({ keys, compression: 'none' })

  test('shows nothing of itself', async () => {
    const body = await codec.encode({ secret: 'open sesame' }, place)
    expect(Buffer.from(body.slice(1), 'base64').toString('latin1')).not.toContain('sesame')
    expect(await codec.encode({ secret: 'open sesame' }, place)).not.toBe(body)
  })

  test('is refused under another key, in another version, and in plain', async () => {
    const unreadable = { code: 'TIDEMARK_STATE_UNREADABLE' }
    const body = await codec.encode({ balance: 5 }, place)
    await expect(codec.decode(body, { ...place, key: 'other' })).rejects.toMatchObject(unreadable)
    await expect(codec.decode(body, { ...place, version: 4 })).rejects.toMatchObject(unreadable)
    await expect(codec.decode('{"json":{"balance":6}}', place)).rejects.toMatchObject(unreadable)
    const unsealed = await pipeline({ serializer: messagePack() }).encode({ balance: 6 }, place)
    await expect(codec.decode(unsealed, place)).rejects.toMatchObject(unreadable)
  })

  test('is read after a rotation, and names the key that is lost', async () => {
    const [a, b] = [randomBytes(32), randomBytes(32)]
    const old = pipeline({ keys: keyRing({ keys: { a }, current: 'a' }) })
    const rotated = pipeline({ keys: keyRing({ keys: { a, b }, current: 'b' }) })
    const after = pipeline({ keys: keyRing({ keys: { b }, current: 'b' }) })
    const backend = new MemoryBackend()
    const store = openStore(backend, { codec: rotated })
    await openStore(backend, { codec: old }).put(
      'k',
      { value: 'kept', ttl: 3_600_000 },
      { token: 5n },
    )
    expect((await store.get('k'))?.value).toBe('kept')
    await expect(openStore(backend, { codec: after }).get('k')).rejects.toThrow(/the key "a"/u)
    expect(await rewrite(store)).toMatchObject({ rewritten: 1, passed: 0, next: null })
    const state = await openStore(backend, { codec: after }).get('k')
    expect([state?.value, state?.token, state?.version]).toEqual(['kept', 5n, 2])
    expect(state?.expiresAt).not.toBeNull()
  })

  test('has the key of its subject', async () => {
    const of = (id: string): Buffer => Buffer.alloc(32, id)
    const subjects = keyRing({
      keys: { a: of('a') },
      current: 'a',
      subjectOf: (key) => key.split('/')[0] as string,
    })
    const ids = ['anna/1', 'anna/2', 'an.na/1'].map((key) => subjects.idFor({ key, version: 1 }))
    expect(new Set(ids).size).toBe(2)
    expect(await subjects.keyOf(ids[0] as string)).toEqual(await subjects.keyOf(ids[1] as string))
    expect(await subjects.keyOf(ids[0] as string)).not.toEqual(
      await subjects.keyOf(ids[2] as string),
    )
    const forgetful = pipeline({ keys: { ...subjects, keyOf: () => undefined } })
    const body = await pipeline({ keys: subjects }).encode(1, place)
    await expect(forgetful.decode(body, place)).rejects.toThrow(/not among the keys/u)
  })

  const [sealedBackend, codecOfAll] = [new MemoryBackend(), pipelines['msgpack, sealed']]
  testStateStore(
    'memory store of encrypted values, of a',
    () => ({
      open: (options) => openStore(sealedBackend, { codec: codecOfAll, ...options }),
      backend: () => sealedBackend,
    }),
    {
      without: {
        killed: 'no server',
        down: 'no server',
        'half-open': 'no server',
        large: 'compressed, it is small',
      },
    },
  )
})
