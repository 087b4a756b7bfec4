import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { RawClient } from './raw-client.ts'
import { rawClient, serve } from './served.ts'

// All of it: TIDEMARK_FUZZ_MESSAGES=100000.
const messages = Number(process.env['TIDEMARK_FUZZ_MESSAGES'] ?? 1_000)
const perRun = 50

const ops = ['create', 'put', 'update', 'delete', 'get', 'list', 'sync', 'health']
const names =
  'op jobId job jobs filter requestId timestamp token ifVersion writeId write remove value meta name status fields ttl after limit createdFrom __proto__ constructor toString length then'.split(
    ' ',
  )

const anyJson = fc.jsonValue({ maxDepth: 4 })
const anyField = fc.oneof(fc.constantFrom(...names), fc.string())
const object = fc.dictionary(anyField, anyJson, { maxKeys: 6 })

/** Mostly right, so that it comes far. */
const nearly = fc
  .record({
    op: fc.constantFrom(...ops),
    jobId: fc.oneof(fc.constantFrom('a', 'b', 'c'), anyJson),
    job: fc.oneof(
      object,
      fc.record(
        {
          value: anyJson,
          meta: fc.oneof(anyJson, fc.record({ values: anyJson, v: fc.constant(1) })),
          name: fc.oneof(fc.string(), anyJson),
          status: fc.oneof(fc.string(), anyJson),
          fields: fc.oneof(object, anyJson),
          ttl: fc.oneof(fc.integer(), anyJson),
        },
        { requiredKeys: [] },
      ),
    ),
    jobs: fc.oneof(fc.array(object, { maxLength: 3 }), anyJson),
    filter: fc.oneof(object, anyJson),
    requestId: fc.oneof(fc.string(), anyJson),
    token: fc.oneof(fc.bigInt().map(String), anyJson),
    ifVersion: fc.oneof(fc.integer(), anyJson),
    writeId: fc.oneof(fc.string(), anyJson),
    more: anyJson,
  })
  .chain((whole) =>
    fc.subarray(Object.keys(whole) as (keyof typeof whole)[]).map((kept) => {
      const fields = kept.map((name) => [name, whole[name]] as const)
      return JSON.stringify({ op: whole.op, ...Object.fromEntries(fields) })
    }),
  )

/** A line that is right but for a few bytes. */
const damaged = fc
  .tuple(nearly, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
  .map(([line, edits]) => {
    const bytes = Buffer.from(line)
    for (const [at, byte] of edits) bytes[at % bytes.length] = byte
    return bytes
  })

const raw = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))

const line = fc.oneof(
  { weight: 5, arbitrary: nearly.map((text) => Buffer.from(text)) },
  { weight: 3, arbitrary: damaged },
  { weight: 1, arbitrary: raw },
)

/** How they are cut into chunks, and whether the client goes away before it has read the answers. */
const run = fc.record({
  lines: fc.array(line, { minLength: perRun, maxLength: perRun }),
  cuts: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
  leaves: fc.boolean(),
})

test(
  `none of ${messages} messages ends the service, and each that is answered is answered in JSON`,
  { timeout: 30 * 60_000 },
  async () => {
    const service = await serve({ requestsPerSecond: 1_000_000 })
    const steady = await rawClient(service)
    let sent = 0
    await fc.assert(
      fc.asyncProperty(run, async ({ lines, cuts, leaves }) => {
        sent += lines.length
        const client = await rawClient(service)
        const bytes = Buffer.concat(lines.flatMap((one) => [one, Buffer.from('\n')]))
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const length = cuts[turn % cuts.length] as number
          client.send(bytes.subarray(at, at + length))
          at += length
        }
        if (!leaves) await answered(client)
        client.socket.destroy()
        // Somebody else is served all the same, and nothing of what came is anywhere but in the store.
        expect(await steady.ask({ op: 'health', requestId: sent })).toMatchObject({
          requestId: sent,
          health: { ok: true },
        })
        expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
      }),
      { numRuns: Math.ceil(messages / perRun) },
    )
    expect(sent).toBeGreaterThanOrEqual(messages)
  },
)

/** Reads until the answer to a request that was sent last. */
async function answered(client: RawClient): Promise<void> {
  client.send('\n', { op: 'health', requestId: 'the last' })
  for (;;) {
    const answer = await client.next()
    const { success, error } = answer
    expect([success, error?.code.startsWith('TIDEMARK_')]).toEqual([
      success,
      success ? undefined : true,
    ])
    if (answer.requestId === 'the last') return
  }
}
