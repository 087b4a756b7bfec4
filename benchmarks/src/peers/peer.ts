import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type pg from 'pg'

/** An event of the comparison: the `n`th of its key. */
export interface Told {
  readonly key: number
  readonly n: number
}

/** What can run SQL: in the transaction that also notes the event as handled, where a peer has one. */
export interface Sql {
  query(text: string, values: unknown[]): Promise<unknown>
}

/** What is done for an event. */
export type Handle = (told: Told, sql: Sql) => Promise<void>

/** A process that consumes: one has the same name whenever it is started again. */
export interface Consumer {
  readonly name: string
  readonly handle: Handle
}

/** Something that takes events from those who commit them to one that has an effect in the same database. */
export interface Peer {
  readonly name: string
  /** The version of its package; undefined if it has none. */
  readonly version?: string
  /** How it was set, where that is not its default, for people. */
  readonly settings: string
  /** Whether events of a key are to have their effects in order. */
  readonly ordered: boolean
  /** Makes its tables. */
  readonly prepare: (url: string) => Promise<void>
  /** Takes away what would keep its database from being dropped. */
  readonly remove?: (url: string) => Promise<void>
  /** Opens what publishes. */
  readonly publisher: (url: string, connections: number) => Promise<PeerPublisher>
  /** Handles each event, from where it stood, until it is disposed. */
  readonly consume: (url: string, consumer: Consumer) => Promise<AsyncDisposable>
  /** Gives back by hand what processes that are gone still hold, where no time that one can wait for does. */
  readonly release?: (url: string) => Promise<void>
}

/** Who publishes with a peer. */
export interface PeerPublisher extends AsyncDisposable {
  /**
   * Publishes an event in a transaction, and waits between the INSERT and the COMMIT.
   *
   * @param pause - how long, in milliseconds.
   * @returns when it is committed.
   */
  publish(told: Told, pause: number): Promise<unknown>
}

/** The least time, in seconds, after which others take over from a process that shows no life. */
export const lease = 2
/** How many events or jobs are handled side by side, where a peer does that. */
export const sideBySide = 24
/** How many connections each may open for that. */
export const connections = 10

/** The effect of an event: a row, whose number says when it came. */
export const takeEffect: Handle = async ({ key, n }, sql) => {
  await sql.query('INSERT INTO effects (key, n) VALUES ($1::integer, $2::integer)', [key, n])
}

/** A publisher that inserts on a client of the driver's, in a transaction of its own. */
export function publishing(
  pool: pg.Pool,
  insert: (client: pg.PoolClient, told: Told) => Promise<unknown>,
  close: () => Promise<unknown> = async () => {},
): PeerPublisher {
  return {
    publish: (told, pause) =>
      committed(pool, async (client) => {
        await insert(client, told)
        if (pause > 0) await client.query('SELECT pg_sleep($1::float8 / 1000)', [pause])
      }),
    [Symbol.asyncDispose]: async () => {
      await close()
      await pool.end()
    },
  }
}

/** Runs in a transaction of the driver's, on a client of a pool. */
export async function committed<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    failure = error as Error
    throw error
  } finally {
    // A connection whose transaction failed is closed, and the server rolls it back.
    client.release(failure)
  }
}

/** The version of an installed package. */
export function versionOf(name: string): string {
  const folder = join('node_modules', name)
  const main = createRequire(import.meta.url).resolve(name)
  const root = main.slice(0, main.lastIndexOf(folder) + folder.length)
  const text = readFileSync(join(root, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
