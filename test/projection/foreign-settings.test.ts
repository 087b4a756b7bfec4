import pg from 'pg'
import { defineProjection, type App } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

// What the application sets for its driver, and an administrator for a database, reaches neither the switch of a table
// projection nor the typed columns of a keyed one.

const database = useFreshDatabase()
const types = [16, 20, 21, 23, 25, 26, 114, 1082, 1114, 1184, 1186, 1700, 3802, 19, 1009, 2206]
const before = new Map(types.map((type) => [type, pg.types.getTypeParser(type)]))
afterEach(() => {
  for (const [type, parser] of before) pg.types.setTypeParser(type, parser)
})

beforeEach(async () => {
  for (const statement of [
    'create table swapped (id bigint primary key, note text not null, at timestamptz, amount numeric)',
    // Something refers to it: its rows are exchanged.
    'create table exchanged (id bigint primary key, note text, length interval, day date, extra jsonb)',
    'create view looked as select * from exchanged',
    'create table keyed (key text primary key, count bigint, at timestamptz, ratio float8, extra jsonb, bytes bytea, seen boolean, day date, amount numeric)',
  ]) {
    await database.query(statement, [])
  }
})

const at = new Date('2024-03-05T06:07:08.123Z')

function modules(version: number) {
  const tables = defineProjection('tables', { version, tables: ['swapped', 'exchanged'] }).on(
    noted,
    async (event, { tx }) => {
      await tx.query('insert into swapped values ($1, $2, $3, 1.50)', [
        event.sequence,
        `v${version} ${event.payload.note}`,
        event.recordedAt,
      ])
      await tx.query(
        `insert into exchanged values ($1, $2, interval '1 mon 2 days 03:04:05', date '2024-03-05', $3)`,
        [event.sequence, `v${version} ${event.payload.note}`, { a: [1, 'x'] }],
      )
    },
  )
  const keyed = defineProjection('by_key', {
    version,
    keyed: true,
    initial: () => ({ count: 0n, version }),
    state: z.object({ count: z.bigint(), version: z.number() }),
    table: {
      name: 'keyed',
      key: 'key',
      columns: {
        count: ({ count }) => count,
        at: () => at,
        ratio: () => 0.1,
        extra: () => ({ b: ['ü', null] }),
        bytes: () => Buffer.from([0, 255, 92]),
        seen: () => true,
        day: () => '2024-03-05',
        amount: () => '12345678901234567890.5',
      },
    },
  }).on(noted, (state) => ({ count: state.count + 1n, version: state.version }), {
    key: (event) => event.payload.note,
  })
  return [tables, keyed] as const
}

async function rebuilt(app: App, name: string): Promise<void> {
  await expect
    .poll(
      async () => {
        const progress = await app.rebuilds.progress(name)
        if (progress?.error) throw new Error(JSON.stringify(progress.error))
        return progress
      },
      { timeout: 30_000 },
    )
    .toBeUndefined()
}

async function story(): Promise<unknown> {
  {
    const some = modules(1)
    await using app = appOn(database, some)
    await app.start({ handleSignals: false })
    for (const note of ['a', 'b', 'a']) {
      const { sequence } = await app.publish(noted({ note }))
      for (const one of some) await app.waitFor(one, sequence)
    }
  }
  const some = modules(2)
  await using app = appOn(database, some)
  await app.start({ handleSignals: false })
  for (const { name } of some) await rebuilt(app, name)
  expect(await app.read(some[1], 'a')).toEqual({ count: 2n, version: 2 })
  // The test's own connection has the application's parsers.
  const { rows } = await database.query(
    `select to_jsonb(array[
      (select string_agg(note || ' ' || amount || ' ' || (at > now() - interval '1 minute'), ',' order by id) from public.swapped),
      (select string_agg(note || ' ' || (length = interval '1 mon 2 days 03:04:05') || (day = date '2024-03-05') || extra::text, ',' order by id) from public.looked),
      (select string_agg(concat_ws(' ', key, count, at = timestamptz '2024-03-05T06:07:08.123Z', ratio = 0.1, extra, encode(bytes, 'hex'), seen, day = date '2024-03-05', amount), ',' order by key) from public.keyed)
    ])::text as all`,
    [],
  )
  const all = String(rows[0]?.['all'])
  return JSON.parse(all.slice(all.indexOf('[')))
}

const expected = [
  'v2 a 1.50 true,v2 b 1.50 true,v2 a 1.50 true',
  'v2 a truetrue{"a": [1, "x"]},v2 b truetrue{"a": [1, "x"]},v2 a truetrue{"a": [1, "x"]}',
  'a 2 t t {"b": ["ü", null]} 00ff5c t t 12345678901234567890.5,b 1 t t {"b": ["ü", null]} 00ff5c t t 12345678901234567890.5',
]

test('tables are switched and typed columns written whatever parsers the application has set', async () => {
  for (const type of types) pg.types.setTypeParser(type, (text: string) => `hostile ${text}`)
  pg.types.setTypeParser(20, Number)
  pg.types.setTypeParser(23, (text: string) => BigInt(text))
  pg.types.setTypeParser(3802, (text: string) => text)
  expect(await story()).toEqual(expected)
})

test('tables are switched and typed columns written whatever a database sets for its sessions', async () => {
  const settings: Record<string, string> = {
    datestyle: 'German, DMY',
    intervalstyle: 'iso_8601',
    extra_float_digits: '-15',
    standard_conforming_strings: 'off',
    backslash_quote: 'on',
    bytea_output: 'escape',
    timezone: 'Asia/Kathmandu',
    default_transaction_isolation: 'serializable',
    default_transaction_deferrable: 'on',
    idle_session_timeout: '300ms',
    idle_in_transaction_session_timeout: '1ms',
    statement_timeout: '1ms',
    lock_timeout: '1ms',
    quote_all_identifiers: 'on',
    array_nulls: 'off',
    transform_null_equals: 'on',
    check_function_bodies: 'off',
    default_toast_compression: 'pglz',
    row_security: 'off',
    client_min_messages: 'error',
    enable_seqscan: 'off',
    search_path: '"$user", elsewhere, public, tidemark',
  }
  await database.query('create schema elsewhere', [])
  for (const [name, value] of Object.entries(settings)) {
    const text = name === 'search_path' ? value : `'${value}'`
    await database.query(`alter database ${database.name} set ${name} = ${text}`, [])
  }
  expect(await story()).toEqual(expected)
})
