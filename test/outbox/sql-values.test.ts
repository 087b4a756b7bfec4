import { defineEvent, defineJob, defineListener } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const paid = defineEvent('sql.paid', {
  version: 2,
  payload: z.object({
    cents: z.bigint(),
    at: z.date(),
    either: z.union([z.object({ id: z.bigint() }), z.string()]).optional(),
    parts: z.array(z.object({ n: z.bigint() })).default([]),
  }),
  upcast: { 1: (old: { cents: string }) => ({ at: '2026-01-31T10:00:00Z', ...old }) },
})
const at = new Date('2026-01-31T10:00:00Z')

test('what SQL and other languages publish is read by the schema, with or without notes on its types', async () => {
  const seen: unknown[] = []
  const traces: unknown[] = []
  const listener = defineListener('reading', { retry: { attempts: 1 } }).on(paid, (event) => {
    seen.push(event.payload)
    traces.push(event.traceparent)
  })
  await using app = appOn(database, [listener])
  await app.start()
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const plain = { cents: '5', at: '2026-01-31T10:00:00Z', either: { id: '7' }, parts: [{ n: 1 }] }
  const calls: [string, unknown[]][] = [
    [`'sql.paid', $1, version => 2`, [JSON.stringify(plain)]],
    // By a driver that serialises what was serialised: a JSON text that holds JSON.
    [`'sql.paid', to_jsonb($1::text), version => 2`, [JSON.stringify(plain)]],
    [`'sql.paid', $1, version => 1`, [JSON.stringify({ cents: '5' })]],
    [
      `'sql.paid', $1, version => 2, payload_meta => $2, traceparent => $3`,
      [
        JSON.stringify({ cents: '5', at: at.toISOString() }),
        JSON.stringify({ values: { cents: ['bigint'], at: ['Date'] } }),
        traceparent,
      ],
    ],
  ]
  let last = 0n
  for (const [given, values] of calls) {
    const { rows } = await database.query(`SELECT tidemark.publish(${given}) AS sequence`, values)
    last = BigInt(rows[0]?.['sequence'] as string)
  }
  await app.waitFor(listener, last as never)
  const whole = { cents: 5n, at, either: { id: 7n }, parts: [{ n: 1n }] }
  expect(seen).toEqual([whole, whole, { cents: 5n, at, parts: [] }, { cents: 5n, at, parts: [] }])
  expect(traces.at(-1)).toBe(traceparent)
})

test('publish() refuses what the library would refuse', async () => {
  const refused = [
    `'', '{}'`,
    `'sql.paid', '{}', stream => ''`,
    `'sql.paid', '{}', stream => repeat('x', 3000)`,
    `'sql.paid', '{}', key => repeat('x', 3000)`,
    `'sql.paid', '{}', idempotency_key => repeat('x', 3000)`,
    `'sql.paid', '{}', metadata => '[]'`,
    `'sql.paid', '{}', payload_meta => '"x"'`,
    `'sql.paid', '{}', traceparent => 'x'`,
  ]
  for (const given of refused) {
    await expect(database.query(`SELECT tidemark.publish(${given})`)).rejects.toMatchObject({
      code: '22023',
    })
  }
})

test('a job that SQL spawns has the types of its schema, and its trace', async () => {
  const inputs: unknown[] = []
  const job = defineJob('sql_job', {
    input: z.object({ cents: z.bigint(), at: z.date() }),
    run: ({ input }) => {
      inputs.push(input)
    },
  })
  await using app = appOn(database, [job])
  await app.start()
  const ids: string[] = []
  for (const meta of [null, { values: { cents: ['bigint'], at: ['Date'] } }]) {
    const { rows } = await database.query(
      `SELECT tidemark.spawn('sql_job', $1, input_meta => $2, correlation_id => 'c-1') AS id`,
      [{ cents: '5', at: at.toISOString() }, meta],
    )
    ids.push(rows[0]?.['id'] as string)
  }
  for (const id of ids) {
    await app.jobs.handle(id).result()
    expect(await app.jobs.get(id)).toMatchObject({ correlationId: 'c-1' })
  }
  expect(inputs).toEqual([
    { cents: 5n, at },
    { cents: 5n, at },
  ])
})
