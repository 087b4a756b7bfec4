import { defineEntity, defineEvent, defineJob, defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const said = defineEvent('test.said', {
  payload: z.object({
    at: z.date(),
    n: z.bigint(),
    text: z.string(),
    bytes: z.instanceof(Uint8Array),
  }),
})
const counted = defineEvent('test.counted', { payload: z.object({ by: z.bigint() }) })
const counter = defineEntity('counter', { initial: () => 0n, snapshotEvery: 2 }).on(
  counted,
  (sum, { payload }) => sum + payload.by,
)
const sum = defineProjection('sum', { version: 1, mode: 'inline', initial: () => 0n }).on(
  counted,
  (before, { payload }) => before + payload.by,
)
const send = defineJob('send', {
  input: z.object({ at: z.date(), n: z.bigint() }),
  run: async () => {},
})

const payload = {
  at: new Date(1_700_000_000_001),
  n: 2n ** 80n,
  text: String.raw`back\slash 'q' "d" {a,b} NULL é 表 $1` + '\n\t',
  bytes: new Uint8Array([0, 39, 92, 255]),
}
const input = { at: payload.at, n: payload.n }

// What a session may have by its role, its database, or the caller's own word.
const settings = [
  'array_nulls = off',
  'standard_conforming_strings = off',
  "datestyle = 'German'",
  "datestyle = 'SQL, DMY'",
  'intervalstyle = sql_standard',
  "timezone = 'Asia/Kolkata'",
  'extra_float_digits = -15',
  'bytea_output = escape',
  'quote_all_identifiers = on',
  'transform_null_equals = on',
  "search_path = ''",
  'row_security = off',
  'session_replication_role = replica',
  "plpgsql.extra_errors = 'all'",
  'plpgsql.variable_conflict = use_variable',
  'plan_cache_mode = force_generic_plan',
]

test.each(settings)('publishes in a session of the caller’s with %s', async (setting) => {
  await using app = appOn(database, [said, counted, sum, send])
  const client = await database.connect()
  let spawned = ''
  try {
    const tx = client as never
    await client.query(`BEGIN; SET LOCAL ${setting}`)
    await app.publish(said(payload), { tx })
    // Without a key, correlation or metadata …
    await app.publish([said(payload), said(payload)], { tx })
    // … and with all of them.
    const all = { key: 'k', metadata: { of: 1n }, correlationId: 'c' }
    await app.publish([said(payload), said(payload)], { tx, stream: 's', ...all })
    await app.publish(said(payload), { tx, idempotencyKey: 'once' })
    const again = app.publish(said(payload), { tx, idempotencyKey: 'once' })
    await expect(again).rejects.toMatchObject({ code: 'TIDEMARK_DUPLICATE_EVENT' })
    const late = app.publish(said(payload), { tx, stream: 's', expectedVersion: 0n })
    await expect(late).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
    for (let nth = 0; nth < 3; nth++) {
      await app.decide(counter, 'c', () => counted({ by: 1n }), { tx })
    }
    const runAt = new Date('2100-01-01')
    spawned = (await app.jobs.spawn(send, input, { tx, runAt, uniqueKey: 'u' })).id
    await client.query('COMMIT')
  } finally {
    await client.end()
  }

  const events = await Array.fromAsync(app.events({ types: [said.type] }))
  expect(events.map((event) => event.payload)).toEqual(Array.from({ length: 6 }, () => payload))
  expect(events.map(({ key }) => key)).toEqual([null, null, null, 'k', 'k', null])
  const { rows } = await database.query(
    `SELECT FROM tidemark.events WHERE 'NULL' IN (key, stream, correlation_id, causation_id, traceparent, tracestate)`,
  )
  expect(rows).toEqual([])
  expect((await app.load(counter, 'c')).state).toBe(3n)
  expect(await app.read(sum)).toBe(3n)
  expect((await app.jobs.get(spawned)).input).toEqual(input)
})
