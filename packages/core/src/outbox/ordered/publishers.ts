import type { Executor } from '../../database/executor.ts'
import type { EventSequence } from '../../event/sequence.ts'

/** A transaction that publishes now. Nothing after its floor is read until it ends. */
export interface Publisher {
  readonly floor: EventSequence
  /** Null for a prepared transaction. */
  readonly pid: number | null
  /** The name of a prepared transaction. */
  readonly prepared: string | null
  readonly application: string | null
  readonly state: string | null
  /** How long ago its transaction began, in seconds; null when that is hidden from this user. */
  readonly ageSeconds: number | null
  /** Its latest statement; null when that is hidden from this user. */
  readonly query: string | null
}

/**
 * The transactions that publish now, those that hold the horizon back first. To see the queries of other users it
 * takes `pg_read_all_stats`.
 */
export async function readPublishers(executor: Executor, schema: string): Promise<Publisher[]> {
  // A prepared transaction is found by the lock that each transaction holds on its own number.
  const { rows } = await executor.query(
    `SELECT DISTINCT ON (floor, l.virtualtransaction)
            ((l.classid::bigint & 65535) << 32) | l.objid::bigint AS floor, l.pid, x.gid AS prepared,
            a.application_name AS application, a.state,
            extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared))::float8 AS age, a.query
     FROM pg_locks l
     LEFT JOIN pg_stat_activity a ON a.pid = l.pid
     LEFT JOIN pg_locks t ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
       AND t.mode = 'ExclusiveLock' AND t.virtualtransaction = l.virtualtransaction
     LEFT JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
     WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.mode = 'ShareLock'
       AND l.classid::bigint >> 16 = "${schema}".lock_namespace()
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     ORDER BY floor, l.virtualtransaction`,
  )
  return (rows as unknown as PublisherRow[]).map(({ floor, age, ...rest }): Publisher => ({
    floor: BigInt(floor) as EventSequence,
    ageSeconds: age,
    ...rest,
  }))
}

interface PublisherRow extends Omit<Publisher, 'floor' | 'ageSeconds'> {
  readonly floor: string
  readonly age: number | null
}

/** Who it is, and what it does, in words. */
export function describePublisher(publisher: Publisher): string {
  const { floor, pid, prepared, application, state, ageSeconds, query } = publisher
  const who =
    pid === null
      ? `the prepared transaction "${prepared ?? 'unknown'}"`
      : `pid ${pid} (${application || 'no application name'}, ${state ?? 'state hidden'})`
  const age = ageSeconds === null ? 'for an unknown time' : `for ${Math.round(ageSeconds)} s`
  const text = (query ?? '').replaceAll(/[\p{Cc}\s]+/gu, ' ').trim()
  const what = text === '' ? '' : `; its query: ${text.slice(0, 120)}`
  return `${who} has been publishing ${age}: nothing after sequence ${floor} is read${what}`
}
