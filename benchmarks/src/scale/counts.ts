import type { TestDatabase } from '@tidemark/testing'

/** What a server did, as it counts it itself: none of it depends on what else the machine does. */
export interface Counts {
  /** Statements that clients sent. */
  readonly statements: number
  /** Transactions that wrote: each of them waits for the disk. */
  readonly commits: number
  readonly walBytes: number
  /** Rows that statements answered or changed. */
  readonly rows: number
  /** Blocks that statements looked at. */
  readonly blocks: number
  /** How often each statement was sent, those that were sent most first. */
  readonly sent: readonly Sent[]
}

/** A statement, by its verb and what it is about. */
export interface Sent {
  readonly name: string
  readonly calls: number
}

/** The settings of a server that counts statements. */
export const counting = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'top',
  'pg_stat_statements.max': '10000',
} as const

interface Place {
  readonly xid: string
  readonly lsn: string
}

/** Counts what the server does for one database. */
export class Counter {
  readonly #database: TestDatabase

  private constructor(database: TestDatabase) {
    this.#database = database
  }

  static async of(database: TestDatabase): Promise<Counter> {
    await database.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements')
    return new Counter(database)
  }

  /** What is done while `work` goes on. */
  async during(work: () => Promise<unknown>): Promise<Counts> {
    await this.#database.query('SELECT pg_stat_statements_reset()')
    const before = await this.#place()
    await work()
    const after = await this.#place()
    const { rows } = await this.#database.query<{
      query: string
      calls: string
      rows: string
      blocks: string
    }>(`
      SELECT s.query, s.calls, s.rows, s.shared_blks_hit + s.shared_blks_read AS blocks
      FROM pg_stat_statements s
      WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND s.query !~ 'pg_stat_statements|pg_current_wal_insert_lsn'`)
    const { rows: bytes } = await this.#database.query<{ bytes: string }>(
      'SELECT $1::pg_lsn - $2::pg_lsn AS bytes',
      [after.lsn, before.lsn],
    )
    const sum = (column: 'calls' | 'rows' | 'blocks'): number =>
      rows.reduce((total, row) => total + Number(row[column]), 0)
    return {
      statements: sum('calls'),
      commits: Number(after.xid) - Number(before.xid),
      walBytes: Number(bytes[0]?.bytes),
      rows: sum('rows'),
      blocks: sum('blocks'),
      sent: sentOf(rows),
    }
  }

  async #place(): Promise<Place> {
    const { rows } = await this.#database.query<{ xid: string; lsn: string }>(
      'SELECT pg_snapshot_xmax(pg_current_snapshot()) AS xid, pg_current_wal_insert_lsn() AS lsn',
    )
    return rows[0] as Place
  }
}

function sentOf(rows: readonly { readonly query: string; readonly calls: string }[]): Sent[] {
  const calls = new Map<string, number>()
  for (const { query, calls: more } of rows) {
    const name = nameOf(query)
    calls.set(name, (calls.get(name) ?? 0) + Number(more))
  }
  return [...calls]
    .map(([name, count]) => ({ name, calls: count }))
    .toSorted((a, b) => b.calls - a.calls || (a.name < b.name ? -1 : 1))
}

/** A statement by its verb and the first thing of the schema that it names. */
export function nameOf(query: string): string {
  const text = query.replaceAll(/--.*$/gmu, '').trim()
  const verb = /^\w+/u.exec(text)?.[0] ?? ''
  const about = /"?tidemark"?\.(\w+)(\(?)/u.exec(text)
  if (about === null) return verb.toUpperCase()
  const [, name, call] = about
  return call === '(' ? `${name}()` : `${verb.toUpperCase()} ${name}`
}
