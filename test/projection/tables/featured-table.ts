import type pg from 'pg'
import { expect } from 'vitest'
import {
  createShadowTables,
  replaceTables,
  type Replacement,
} from '../../../packages/core/src/projection/shadow/shadow-tables.ts'
import { tableFeatures, type TableFeature } from './table-features.ts'

/** A table with some rows, in a schema of its own. */
export interface FeaturedTable {
  readonly schema: string
  /** The schema as SQL has it. */
  readonly quoted: string
  readonly table: string
  readonly number: number
}

/** Makes what the features need; answers those that the server knows. */
export async function setUp(client: pg.Client): Promise<readonly TableFeature[]> {
  for (const role of ['tidemark_test_reader', 'tidemark_test_owner']) {
    await client.query(
      `do $$ begin create role ${role}; exception when duplicate_object or unique_violation then null; end $$`,
    )
  }
  const { rows } = await client.query<{ number: string }>(
    `select current_setting('server_version_num') as number`,
  )
  const major = Math.floor(Number(rows[0]?.number) / 10_000)
  const here = tableFeatures.filter(({ since }) => (since ?? 0) <= major)
  for (const setup of new Set(here.map((feature) => feature.setup))) {
    if (setup !== undefined) await client.query(setup)
  }
  return here
}

/** Makes a table with these features, as far as they go together. */
export async function makeTable(
  client: pg.Client,
  number: number,
  table: string,
  features: readonly TableFeature[],
): Promise<FeaturedTable> {
  const schema = `app ${number}`
  const quoted = quote(schema)
  await client.query(`create schema ${quoted}; set search_path = ${quoted}, public`)
  await client.query(
    `create table ${quoted}.${quote(table)} (id integer primary key, note text, count integer default 1)`,
  )
  await client.query(
    `insert into ${quote(table)} (id, note, count) values (1, 'same', 1), (2, 'other', 2), (3, 'gone', 3), (7, 'gone', 7)`,
  )
  for (const feature of features) {
    // Some exclude each other: an unlogged table has no foreign keys of others.
    const given = client.query(filled(feature, schema, table))
    await (features.length === 1 ? given : given.catch(() => {}))
  }
  // Some together forbid to delete anything (publications, replica identities and generated columns): without the former.
  const deletes = `delete from ${quote(table)} where id = 3`
  await client.query(`begin; ${deletes}; rollback`).catch(async () => {
    await client.query('rollback')
    await client.query(`drop publication if exists ${quote(`p ${schema}`)}`)
  })
  return { schema, quoted, table, number }
}

/** Rebuilds it with other rows, which it has then. */
export async function rebuildTable(
  client: pg.Client,
  { quoted, table, number }: FeaturedTable,
): Promise<Replacement> {
  const shadow = `shadow ${number}`
  const copies = { name: shadow, owner: 'p' }
  await client.query(`set search_path = ${quoted}, public`)
  await client.query('begin')
  await createShadowTables(client, copies, 'p', [table])
  await client.query('commit')
  await client.query(`set search_path = ${quote(shadow)}, ${quoted}, public`)
  await client.query(
    `insert into ${quote(table)} (id, note, count) overriding system value
     values (1, 'same', 1), (2, 'another', 5), (4, 'new', 4), (5, 'five', 1)`,
  )
  const { rows: kind } = await client.query(
    'select relkind from pg_class where oid = $1::regclass',
    [`${quoted}.${quote(table)}`],
  )
  // Rows of what inherits from it are not its own; those of its partitions are.
  const of = (kind[0] as { relkind: string }).relkind === 'p' ? '' : 'only'
  const rows = (from: string): string =>
    `select id, note, count, t::text as row from ${from} ${quote(table)} as t order by id`
  const { rows: copied } = await client.query(rows('only'))
  await client.query(`set search_path = ${quoted}, public`)
  await client.query('begin')
  const replacement = await replaceTables(client, copies, 'p', [table])
  await client.query('commit')
  const { rows: after } = await client.query(rows(of))
  expect(after).toEqual(copied)
  expect(after).toHaveLength(4)
  const left = await client.query('select from pg_namespace where nspname = $1', [shadow])
  expect(left.rowCount).toBe(0)
  return replacement
}

function filled(feature: TableFeature, schema: string, table: string): string {
  const name = `${quote(schema)}.${quote(table)}`
  const inner = table.replaceAll('"', '""')
  return feature.sql
    .replaceAll('{t}', name)
    .replaceAll('{t:pkey_name}', quote(`${table}_pkey`))
    .replaceAll('{t:pkey}', `${quote(schema)}.${quote(`${table}_pkey`)}`)
    .replaceAll('{t:lower_idx}', `${quote(schema)}.${quote(`${table}_lower_expr_idx`)}`)
    .replaceAll('{s}', quote(schema))
    .replaceAll('{q}', quote(table))
    .replaceAll('{x}', inner)
    .replaceAll('{p}', quote(`p ${schema}`))
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}
