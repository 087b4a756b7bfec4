import pg from 'pg'
import { defineEntity, defineEvent, defineProjection } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const bad: readonly (readonly [string, unknown])[] = [
  ['half of a pair', 'cust-\ud800'],
  ['the other half', 'cust-\udbff'],
  ['NUL', 'cust\0'],
  ['3,000 characters', 'x'.repeat(3000)],
  ['400 characters of three bytes', '語'.repeat(400)],
  ['nothing', ''],
  ['a number', 5],
  ['an object', { toString: () => 'x' }],
]
const options = ['stream', 'key', 'idempotencyKey', 'correlationId', 'causationId'] as const

describe('an identifier that Postgres cannot store or find by is refused before anything is sent', () => {
  test.each(bad)('%s', async (_, text) => {
    await using app = appOn(database, [noted])
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query('BEGIN')
    for (const option of options) {
      const given = { [option]: text } as { stream: string }
      for (const publish of [
        () => app.publish(noted({ note: 'x' }), given),
        () => app.publish(noted({ note: 'x' }), { ...given, tx: client }),
        () => app.transaction(async (tx) => tx.publish(noted({ note: 'x' }), given)),
      ]) {
        await expect(publish()).rejects.toMatchObject({
          code: 'TIDEMARK_INVALID_OPTION',
          details: { option },
        })
      }
    }
    // The caller's transaction goes on.
    await client.query('SELECT 1')
    await client.query('COMMIT')
    await client.end()
    const entity = defineEntity('cust', { initial: () => 0 })
    await expect(app.load(entity, text as string)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
    await expect(Array.fromAsync(app.stream(text as string))).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
    expect((await database.query('SELECT FROM tidemark.events')).rowCount).toBe(0)
  })
})

test('no two entities have a stream in common, and no text that Postgres cannot hold reaches it', async () => {
  expect(() => defineEntity('order-line', { initial: () => 0 })).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }),
  )
  await using app = appOn(database, [noted])
  for (const text of ['x\0', 'x\ud800', 'x'.repeat(3000)]) {
    for (const ask of [
      () => app.waitFor(text, 1n as never, { timeout: 100 }),
      () => app.rebuilds.progress(text),
      () => app.rebuilds.cancel(text),
      async () => Array.fromAsync(app.events({ types: [text] })),
    ]) {
      await expect(ask()).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
    }
  }
})

test('metadata keeps what payloads keep, and is an object', async () => {
  await using app = appOn(database, [noted])
  const metadata = { at: new Date(5), n: 2n ** 70n, tags: new Set(['a']), plain: 'text' }
  await app.publish(noted({ note: 'x' }), { metadata })
  const [event] = await Array.fromAsync(app.events())
  expect(event?.metadata).toEqual(metadata)
  const { rows } = await database.query(
    `SELECT FROM tidemark.events WHERE metadata ->> 'plain' = 'text' AND metadata ->> 'n' = $1`,
    [String(2n ** 70n)],
  )
  expect(rows).toHaveLength(1)
  for (const none of [
    [],
    new Map([['a', 1]]),
    new Date(5),
    Buffer.from('a'),
    new URL('a:b'),
    'a',
  ]) {
    await expect(
      app.publish(noted({ note: 'x' }), { metadata: none as never }),
    ).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  }
  // Under this name the notes on the Date would be written.
  const taken = { 'tidemark.notes': 'mine', at: new Date(5) }
  await expect(app.publish(noted({ note: 'x' }), { metadata: taken })).rejects.toMatchObject({
    code: 'TIDEMARK_PAYLOAD_NOT_STORABLE',
    details: { path: 'tidemark.notes' },
  })
  await expect(app.publish(noted({ note: 'x' }), { metadata: { 'a\0': 1 } })).rejects.toMatchObject(
    { code: 'TIDEMARK_PAYLOAD_NOT_STORABLE' },
  )
})

test('an idempotency key is the same for one event and for a list', async () => {
  await using app = appOn(database, [noted])
  const list = [noted({ note: 'a' }), noted({ note: 'b' })]
  const [first] = await app.publish(list, { idempotencyKey: 'k' })
  const duplicate = {
    code: 'TIDEMARK_DUPLICATE_EVENT',
    details: { idempotencyKey: 'k', sequence: first?.sequence },
  }
  await expect(app.publish(list, { idempotencyKey: 'k' })).rejects.toMatchObject(duplicate)
  await expect(app.publish(noted({ note: 'a' }), { idempotencyKey: 'k' })).rejects.toMatchObject(
    duplicate,
  )
  await app.publish(noted({ note: 'x' }), { idempotencyKey: 'k/1' })
  await app.publish(list, { idempotencyKey: 'l', stream: 's' })
  expect((await database.query('SELECT FROM tidemark.events')).rowCount).toBe(5)
})

const paid = defineEvent('identifiers.paid', {
  payload: z.object({ id: z.string(), cents: z.number() }),
})

type Columns = Record<string, (state: { cents: number }) => unknown>

const keyed = (name: string, columns: Columns = {}) =>
  defineProjection(name, {
    version: 1,
    keyed: true,
    initial: () => ({ cents: 0 }),
    partitions: 4,
    retry: { attempts: 1 },
    table: { name, key: 'id', columns: { cents: (state) => state.cents, ...columns } },
  }).on(paid, (state, { payload }) => ({ cents: state.cents + payload.cents }), {
    key: ({ payload }) => payload.id,
  })

test.each([
  [
    'uuid',
    [
      '3F2504E0-4F89-41D3-9A0C-0305E82C3301',
      '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
      '{3f2504e04f8941d39a0c0305e82c3301}',
    ],
  ],
  ['bigint', ['5', '+5', '005']],
])('spellings of one key of a column of type %s are one state and one row', async (type, keys) => {
  await database.query(`CREATE TABLE spelled (id ${type} PRIMARY KEY, cents bigint)`)
  const projection = keyed('spelled')
  await using app = appOn(database, [projection])
  await app.start()
  const published = await app.publish(keys.map((id) => paid({ id, cents: 2 })))
  await app.waitFor(projection, published.at(-1)?.sequence ?? null)
  expect((await database.query('SELECT cents FROM spelled')).rows).toEqual([{ cents: '6' }])
  expect(await app.list(projection)).toHaveLength(1)
  await using reader = appOn(database, [keyed('spelled')])
  for (const key of keys) expect(await reader.read(projection, key)).toEqual({ cents: 6 })
})

test('a key that its column spells differently in a way that only the server knows is refused', async () => {
  await database.query('CREATE TABLE priced (id numeric PRIMARY KEY, cents bigint)')
  const projection = keyed('priced')
  await using app = appOn(database, [projection])
  await app.start()
  const good = await app.publish(paid({ id: '1.5', cents: 1 }))
  await app.waitFor(projection, good.sequence)
  const other = await app.publish(paid({ id: '01.5', cents: 1 }))
  await expect(app.waitFor(projection, other.sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect(await app.list(projection)).toHaveLength(1)
})

const dropped = defineEvent('identifiers.dropped', { payload: z.object({ id: z.string() }) })

const droppable = (name: string) =>
  keyed(name).on(dropped, () => undefined, { key: ({ payload }) => payload.id })

// One value of the column under several spellings.
test.each([
  ['citext', ['Ann', 'ANN', 'ann']],
  ['text COLLATE alike', ['Ann', 'ANN', 'ann']],
  ['character(4)', ['ab  ', 'ab', 'ab ']],
  ['numeric', ['1.5', '1.50', '01.5', '15e-1']],
  ['whole', ['5', '+5', '005']],
  ['inet', ['10.0.0.1', '10.0.0.1/32']],
  ['bytea', ['\\x4142', 'AB', '\\x41 42']],
  ['date', ['2024-01-02', '2024-01-02T00:00:00.000Z', '20240102']],
  [
    'timestamptz',
    ['2024-01-02T00:00:00.000Z', '2024-01-02T00:00:00+00:00', '2024-01-02 01:00:00+01'],
  ],
  ['timestamp', ['2024-01-02T00:00:00.000Z', '2024-01-02T00:00:00', '2024-01-02 00:00:00']],
  ['timestamptz', ['2024-01-02T00:00:00.000001+00:00', '2024-01-02 00:00:00.000001+00']],
])(
  'keys of a column of type %s are one state and one row, or refused, however they meet',
  async (type, keys) => {
    await database.query(`
    CREATE EXTENSION IF NOT EXISTS citext;
    CREATE COLLATION alike (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE DOMAIN whole AS integer;
    CREATE TABLE one_by_one (id ${type} PRIMARY KEY, cents bigint);
    CREATE TABLE at_once (id ${type} PRIMARY KEY, cents bigint);
    CREATE TABLE removed (id ${type} PRIMARY KEY, cents bigint)`)
    const [first = '', ...others] = keys
    const firsts: unknown[] = []
    const [oneByOne, atOnce, removed] = ['one_by_one', 'at_once', 'removed'].map(droppable)
    for (const [projection, steps] of [
      [
        oneByOne,
        [[paid({ id: first, cents: 1 })], ...others.map((id) => [paid({ id, cents: 2 })])],
      ],
      [atOnce, [keys.map((id) => paid({ id, cents: 3 }))]],
      [removed, [[paid({ id: first, cents: 4 })], ...others.map((id) => [dropped({ id })])]],
    ] as const) {
      if (projection === undefined) continue
      await using app = appOn(database, [projection])
      await app.start()
      await database.query('DELETE FROM tidemark.events')
      for (const [nth, events] of steps.entries()) {
        const published = await app.publish(events)
        const refusal = await app
          .waitFor(projection, published.at(-1)?.sequence ?? null)
          .then(() => undefined, String)
        if (nth === 0 && events.length === 1) firsts.push(refusal)
        // What it takes and what it refuses leave as many rows as there are states, with the same in them. In one
        // statement: where one partition has halted, others may still be at work.
        const { rows } = await database.query(
          `SELECT ARRAY(SELECT cents::text FROM ${projection.name} ORDER BY 1) AS written,
             ARRAY(SELECT state ->> 'cents' FROM tidemark.projection_states WHERE projection = $1 ORDER BY 1) AS states`,
          [projection.name],
        )
        expect(rows[0]?.['written']).toEqual(rows[0]?.['states'])
        if (refusal === undefined) continue
        const { rows: cursors } = await database.query(
          'SELECT last_error::text AS error FROM tidemark.cursors WHERE listener = $1',
          [projection.name],
        )
        expect(JSON.stringify(cursors)).toContain('TIDEMARK_TABLE_MISMATCH')
        break
      }
    }
    // The column's own spelling is taken.
    expect(firsts).toEqual([undefined, undefined])
  },
)

test.each([
  ['a Map', () => new Map([['a', 1]])],
  ['a Set', () => ({ in: new Set([1]) })],
  ['an instance of a class', () => [new URL('https://example.org')]],
  ['NaN within', () => ({ n: Number.NaN })],
  ['an invalid Date', () => new Date(Number.NaN)],
  ['bytes within', () => ({ b: new Uint8Array(2) })],
  ['a NUL', () => 'a\0b'],
])('%s in a column is refused, not written as something else', async (_, value) => {
  await database.query('CREATE TABLE columned (id text PRIMARY KEY, cents bigint, more jsonb)')
  const projection = keyed('columned', { more: value })
  await using app = appOn(database, [projection])
  await app.start()
  const { sequence } = await app.publish(paid({ id: 'a', cents: 1 }))
  await expect(app.waitFor(projection, sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect((await database.query('SELECT FROM columned')).rowCount).toBe(0)
})
