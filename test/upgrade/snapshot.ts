import { hostname } from 'node:os'
import type { TestDatabase } from '@tidemark/testing'
import type pg from 'pg'
import { migrationSql } from 'tidemark'
import { migrations } from '../../packages/core/src/database/generated/migrations.ts'

/** A populated database as one text of SQL, and the migrations that it was made by. */
export interface Snapshot {
  readonly text: string
  readonly migrations: readonly { version: number; name: string; checksum: string }[]
}

const header = '-- migrated by '

/** Reads what {@link takeSnapshot} has written. */
export function parseSnapshot(text: string): Snapshot {
  const made = [...text.matchAll(new RegExp(`^${header}(\\d+) (\\S+) ([0-9a-f]+)$`, 'gmu'))]
  return {
    text,
    migrations: made.map(([, version, name, checksum]) => ({
      version: Number(version),
      name: name ?? '',
      checksum: checksum ?? '',
    })),
  }
}

/** The migrations of a snapshot that were edited since: this version cannot upgrade what they made. */
export function editedSince(snapshot: Snapshot): string[] {
  return snapshot.migrations
    .filter(({ version, checksum }) =>
      migrations.every((known) => known.version !== version || known.checksum !== checksum),
    )
    .map(({ version, name }) => `${version} ${name}`)
}

/** A table with its columns, in an order in which each comes after those that it refers to. */
interface Table {
  readonly name: string
  readonly columns: readonly string[]
}

const tablesInOrder = `
WITH RECURSIVE placed AS (
  SELECT c.oid, 0 AS depth FROM pg_class c
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND c.relnamespace IN ('tidemark'::regnamespace, 'public'::regnamespace)
    AND c.oid <> 'tidemark.migrations'::regclass
  UNION ALL
  SELECT k.conrelid, p.depth + 1 FROM placed p JOIN pg_constraint k ON k.confrelid = p.oid AND k.contype = 'f'
  WHERE k.conrelid <> k.confrelid
)
SELECT p.oid::regclass::text AS name, (
  SELECT array_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute a
  WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns
FROM placed p GROUP BY p.oid ORDER BY max(p.depth), 1`

/** Nothing of the machine that a snapshot is taken on belongs into it: stack traces, its name. */
function withoutMachine(text: string): string {
  return text
    .replaceAll(/(?:\\\\n {4}at (?:(?!\\\\n|")[^\n])*)+/gu, '')
    .replaceAll(`'${hostname()}'`, `'host'`)
}

/** The rows as INSERTs. Their triggers have done their work where the rows come from. */
async function rowsOf(client: pg.Client, { name, columns }: Table): Promise<string> {
  const values = columns.map((column) => `quote_nullable(t.${column}::text)`).join(`, ', ', `)
  const { rows } = await client.query<{ line: string }>(
    `SELECT '(' || concat(${values}) || ')' AS line FROM ${name} t ORDER BY t::text`,
  )
  if (rows.length === 0) return ''
  return [
    `ALTER TABLE ${name} DISABLE TRIGGER USER;`,
    // A migration may have put rows there.
    `DELETE FROM ${name};`,
    `INSERT INTO ${name} (${columns.join(', ')}) OVERRIDING SYSTEM VALUE VALUES`,
    `${rows.map(({ line }) => line).join(',\n')};`,
    `ALTER TABLE ${name} ENABLE TRIGGER USER;`,
  ].join('\n')
}

/**
 * Writes down a database as it is at this moment, also in the middle of its work: what a crash would leave.
 *
 * @param ownTables - the statements that made the application's own tables.
 */
export async function takeSnapshot(database: TestDatabase, ownTables: string): Promise<Snapshot> {
  const client = await database.connect()
  try {
    await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
      SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL search_path = pg_catalog`)
    const tables = (await client.query<{ name: string; columns: string[] }>(tablesInOrder)).rows
    const rows: string[] = []
    for (const table of tables) rows.push(await rowsOf(client, table))
    const sequences = await client.query<{ text: string }>(
      `SELECT format('SELECT setval(%L, %s);', format('%I.%I', schemaname, sequencename), last_value) AS text
       FROM pg_sequences WHERE last_value IS NOT NULL ORDER BY schemaname, sequencename`,
    )
    const head = migrations.map(
      ({ version, name, checksum }) => `${header}${version} ${name} ${checksum}`,
    )
    return parseSnapshot(
      [
        '-- A populated database of this release, written by npm run snapshot: what upgrade tests start from.',
        ...head,
        '',
        migrationSql(),
        ownTables.trim(),
        '',
        ...rows.filter((text) => text !== '').map(withoutMachine),
        ...sequences.rows.map(({ text }) => text),
        '',
      ].join('\n'),
    )
  } finally {
    await client.end()
  }
}

/** Makes an empty database what it was when the snapshot was taken. */
export async function restore(database: TestDatabase, { text }: Snapshot): Promise<void> {
  const client = await database.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}
