import { defineEvent, defineJob, defineListener, defineProjection } from 'tidemark'
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

const row = defineEvent('sql.row', {
  payload: z.object({
    id: z.bigint(),
    at: z.date(),
    local: z.date(),
    day: z.date(),
    bytes: z.instanceof(Uint8Array),
    encoded: z.instanceof(Uint8Array),
    tags: z.set(z.string()),
    rates: z.map(z.string(), z.bigint()),
    five: z.literal(5n),
    note: z.string().optional(),
    whole: z.bigint().nullable(),
  }),
})
const asRow = `SELECT jsonb_build_object(
  'id', 9007199254740993::bigint, 'at', '2026-01-31 10:00:00.5+00'::timestamptz,
  'local', '2026-01-31 10:00:00'::timestamp, 'day', '2026-01-31'::date, 'bytes', '\\x00ff'::bytea,
  'encoded', encode(decode(repeat('00ff', 50), 'hex'), 'base64'), 'tags', ARRAY['a', 'b'],
  'rates', jsonb_object_agg(k, v), 'five', 5, 'note', NULL, 'whole', 12345678901234567890123::numeric)
  FROM (VALUES ('x', 1::bigint), ('y', 9007199254740993)) AS r (k, v)`
const meant = {
  id: 9_007_199_254_740_993n,
  at: new Date('2026-01-31T10:00:00.500Z'),
  local: at,
  day: new Date('2026-01-31T00:00:00Z'),
  bytes: new Uint8Array([0, 255]),
  encoded: new Uint8Array(100).map((_, index) => (index % 2) * 255),
  tags: new Set(['a', 'b']),
  rates: new Map([
    ['x', 1n],
    ['y', 9_007_199_254_740_993n],
  ]),
  five: 5n,
  whole: 12_345_678_901_234_567_890_123n,
}

test('a row as Postgres writes it in JSON is what the schema says, for listeners, states, jobs and signals', async () => {
  const seen: unknown[] = []
  const listener = defineListener('reading', { retry: { attempts: 1 } }).on(row, (event) => {
    seen.push(event.payload)
  })
  const folded = defineProjection('folded', {
    version: 1,
    initial: (): { last: unknown } => ({ last: null }),
    retry: { attempts: 1 },
  }).on(row, (_, { payload }) => ({ last: payload }))
  const job = defineJob('sql_row', {
    input: row.schema,
    run: async ({ input }, ctx) => {
      const signal = await ctx.waitForSignal('signal', 'row', { schema: row.schema })
      // In one attempt: one that waits for the signal runs again.
      seen.push(input, signal)
    },
  })
  await using app = appOn(database, [listener, folded, job])
  await app.start()
  const { rows } = await database.query(
    `SELECT tidemark.publish('sql.row', (${asRow})) AS sequence`,
  )
  await app.waitFor([listener, folded], BigInt(rows[0]?.['sequence'] as string) as never)
  expect(seen).toEqual([meant])
  expect(await app.read(folded)).toEqual({ last: meant })
  const spawned = await database.query(`SELECT tidemark.spawn('sql_row', (${asRow})) AS id`)
  const id = spawned.rows[0]?.['id'] as string
  const signal = { ...meant, id: String(meant.id), at: at.toISOString(), rates: { x: '1' } }
  await app.jobs.signal(id, 'row', { ...signal, tags: ['a'], bytes: '\\x00', note: null })
  await app.jobs.handle(id).result()
  const told = { at, rates: new Map([['x', 1n]]), tags: new Set(['a']), bytes: new Uint8Array(1) }
  expect(seen.slice(1)).toEqual([meant, { ...meant, ...told }])
})

const badTraces = [
  `traceparent => 'x'`,
  `traceparent => 'rubbish'`,
  `traceparent => ''`,
  `traceparent => 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'`,
  `traceparent => '00-00000000000000000000000000000000-00f067aa0ba902b7-01'`,
  `traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01'`,
  `traceparent => '00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01'`,
  `tracestate => repeat('x', 513)`,
  `tracestate => E'a=b\nc'`,
]

test('publish() refuses what the library would refuse', async () => {
  const refused = [
    `'', '{}'`,
    `'sql.paid', '{}', stream => ''`,
    `'sql.paid', '{}', stream => repeat('x', 3000)`,
    `'sql.paid', '{}', key => repeat('x', 3000)`,
    `'sql.paid', '{}', idempotency_key => repeat('x', 3000)`,
    `'sql.paid', '{}', metadata => '[]'`,
    `'sql.paid', '{}', payload_meta => '"x"'`,
    `'sql.paid', '{}', correlation_id => ''`,
    `'sql.paid', NULL`,
    `NULL, '{}'`,
    `'sql.paid', '{}', id => NULL`,
    `'sql.paid', '{}', version => 0`,
    `'sql.paid', '{}', expected_version => 1`,
    `'sql.paid', '{}', stream => 's', expected_version => -1`,
    ...badTraces.map((trace) => `'sql.paid', '{}', ${trace}`),
  ]
  for (const given of refused) {
    await expect(database.query(`SELECT tidemark.publish(${given})`), given).rejects.toMatchObject({
      code: '22023',
    })
  }
  expect((await database.query('SELECT FROM tidemark.events')).rowCount).toBe(0)
})

test('spawn() refuses what the library would refuse', async () => {
  const refused = [
    `'', '{}'`,
    `'sql_job', NULL`,
    `'sql_job', '{}', queue => NULL`,
    `'sql_job', '{}', queue => ''`,
    `'sql_job', '{}', id => NULL`,
    `'sql_job', '{}', priority => NULL`,
    `'sql_job', '{}', version => 0`,
    `'sql_job', '{}', triggered_by => ''`,
    `'sql_job', '{}', unique_key => repeat('x', 3000)`,
    `'sql_job', '{}', concurrency_key => ''`,
    `'sql_job', '{}', correlation_id => repeat('x', 3000)`,
    `'sql_job', '{}', causation_id => ''`,
    `'sql_job', '{}', input_meta => '[]'`,
    ...badTraces.map((trace) => `'sql_job', '{}', ${trace}`),
  ]
  for (const given of refused) {
    await expect(database.query(`SELECT tidemark.spawn(${given})`), given).rejects.toMatchObject({
      code: '22023',
    })
  }
  expect((await database.query('SELECT FROM tidemark.jobs')).rowCount).toBe(0)
})

test('a trace that is none does no harm, from whoever it is inserted', async () => {
  const seen: unknown[] = []
  const note = defineEvent('sql.note', { payload: z.object({ n: z.number() }) })
  const job = defineJob('sql_job', { input: z.object({}), run: () => 'ran' })
  const listener = defineListener('reading', { retry: { attempts: 1 } }).on(
    note,
    async ({ payload }, { publish }) => {
      seen.push(payload.n)
      if (payload.n === 1) publish(note({ n: 2 }))
    },
  )
  await using app = appOn(database, [listener, job])
  await app.start()
  const rubbish = 'rub\nbish: \u2028'
  await database.query(
    `INSERT INTO tidemark.events (type, payload, traceparent, tracestate, correlation_id)
     VALUES ('sql.note', '{"n": 1}', $1, $1, $1)`,
    [rubbish],
  )
  await expect.poll(() => seen, { timeout: 20_000 }).toEqual([1, 2])
  const { rows } = await database.query(
    `INSERT INTO tidemark.jobs (id, name, input, status, traceparent, tracestate)
     VALUES (gen_random_uuid(), 'sql_job', '{}', 'queued', $1, $1) RETURNING id`,
    [rubbish],
  )
  expect(await app.jobs.handle(rows[0]?.['id'] as string).result()).toBe('ran')
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
