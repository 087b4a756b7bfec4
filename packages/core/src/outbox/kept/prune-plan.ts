import type { Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { readHorizon } from '../ordered/horizon.ts'
import { readPartitions, type OutboxPartition } from './partitions.ts'

/**
 * Why a partition stays:
 *
 * - `horizon`: publishers may still commit into it;
 * - `unread`: a listener has not come past it, or there is no listener at all;
 * - `dead-letters`: an event of it was set aside and waits for a decision;
 * - `jobs`: a job waits for an event, and one of these may be it;
 * - `relays`: a relay sends events of it, and a broker that loses what it had last is sent them again;
 * - `age`: its events are not as old as was asked for;
 * - `projections`: a projection handles events of it, and could not be derived from zero any more;
 * - `streams`: it holds events of streams, which are loaded from their first event.
 *
 * Only the last two can be given up, and the margin of relays can be another.
 */
export type PruneReason =
  | 'horizon'
  | 'unread'
  | 'dead-letters'
  | 'jobs'
  | 'relays'
  | 'age'
  | 'projections'
  | 'streams'

/** What is pruned, and what is given up for it. */
export interface PruneOptions {
  /** Only partitions whose newest event is at least this old, in milliseconds. Defaults to 0: any age. */
  readonly olderThan?: number
  /**
   * How old the newest event must be of a partition whose events a relay sends, in milliseconds: a broker that was
   * restored to an earlier state is sent again what it lost. Defaults to a day.
   */
  readonly relayMargin?: number
  /** Whether projections may lose what they would be rebuilt from. Defaults to false. */
  readonly evenProjections?: boolean
  /** Whether streams may lose events, so that they can no longer be loaded from them. Defaults to false. */
  readonly evenStreams?: boolean
  /**
   * The schema that whole partitions are moved to, for you to dump and drop. Defaults to none: they are dropped.
   */
  readonly archive?: string
}

/** A partition, and whether it can go. */
export interface PruneCandidate {
  readonly partition: OutboxPartition
  /** How many events it holds; null when something else decided before they were counted. */
  readonly events: bigint | null
  /** Why it stays; null when it can go. */
  readonly reason: PruneReason | null
  /** The same for people, with names. */
  readonly because: string | null
}

/** What a partition holds. */
export interface PartitionContent {
  readonly events: bigint
  readonly types: readonly string[]
  readonly streams: boolean
  readonly newest: Date | null
}

const day = 86_400_000
const undefinedTable = '42P01'

/**
 * Which partitions can go, the oldest first. It stops at the first one that has to stay: the outbox never gets holes.
 */
export async function planPrune(
  database: Database,
  schema: string,
  options: PruneOptions = {},
): Promise<readonly PruneCandidate[]> {
  const candidates: PruneCandidate[] = []
  const { sequence: horizon } = await readHorizon(database, schema)
  for (const partition of await readPartitions(database, schema)) {
    const candidate = await judge(database, schema, partition, horizon, options)
    if (candidate === undefined) continue
    candidates.push(candidate)
    if (candidate.reason !== null) break
  }
  return candidates
}

/** Whether a partition can go; undefined when somebody else has pruned it meanwhile. */
export async function judge(
  executor: Executor,
  schema: string,
  partition: OutboxPartition,
  horizon: EventSequence,
  options: PruneOptions,
): Promise<PruneCandidate | undefined> {
  const { name, to } = partition
  const stays = (reason: PruneReason, because: string, events: bigint | null = null) =>
    ({ partition, events, reason, because }) as const
  if (to > horizon) return stays('horizon', `it reaches beyond the horizon, ${horizon}`)
  const reader = await hindmost(executor, schema)
  if (reader === undefined) return stays('unread', 'no listener has been started yet')
  if (reader.cursor < to - 1n) {
    return stays('unread', `${reader.listener} is at ${reader.cursor}`)
  }
  const letter = await firstDeadLetter(executor, schema, to)
  if (letter !== undefined) {
    return stays(
      'dead-letters',
      `${letter.listener} has set event ${letter.sequence} aside: retry or discard it`,
    )
  }
  const { olderThan = 0, relayMargin = day, evenProjections = false, evenStreams = false } = options
  // Without reading all of it: a policy asks again and again.
  const latest = await latestOf(executor, schema, name)
  if (latest !== undefined && Date.now() - latest.getTime() < olderThan) {
    return stays('age', `its newest event is of ${latest.toISOString()}`)
  }
  const content = await readContent(executor, schema, name).catch((error: unknown) => {
    if (errorCodeOf(error) === undefinedTable) return undefined
    throw error
  })
  if (content === undefined) return undefined
  const { events, types, streams, newest } = content
  const waiting = await waitingJob(executor, schema, name)
  if (waiting !== undefined) {
    return stays('jobs', `job ${waiting} waits for an event, and may be given one of it`, events)
  }
  const age = newest === null ? Number.POSITIVE_INFINITY : Date.now() - newest.getTime()
  const relays = age < relayMargin ? await relaysOf(executor, schema, types) : []
  if (relays.length > 0) {
    return stays('relays', `${relays.join(', ')} may have to send events of it again`, events)
  }
  // The last of its numbers need not be the last in time.
  if (newest !== null && age < olderThan) {
    return stays('age', `its newest event is of ${newest.toISOString()}`, events)
  }
  const projections = evenProjections ? [] : await projectionsOf(executor, schema, types)
  if (projections.length > 0) {
    return stays(
      'projections',
      `${projections.join(', ')} could not be derived from zero any more`,
      events,
    )
  }
  if (streams && !evenStreams) {
    return stays('streams', 'it holds events of streams, which are loaded from them', events)
  }
  return { partition, events, reason: null, because: null }
}

/** The cursor that is furthest behind, of any generation. */
export async function hindmost(
  executor: Executor,
  schema: string,
): Promise<{ listener: string; cursor: bigint } | undefined> {
  const { rows } = await executor.query(
    `SELECT listener, cursor FROM "${schema}".cursors c
     WHERE NOT EXISTS (SELECT FROM "${schema}".listeners l WHERE l.name = c.listener AND l.kind = 'intake')
     ORDER BY cursor, listener LIMIT 1`,
  )
  const [row] = rows as { listener: string; cursor: string }[]
  return row === undefined ? undefined : { ...row, cursor: BigInt(row.cursor) }
}

/** The first dead letter below a sequence that waits for a decision. */
export async function firstDeadLetter(
  executor: Executor,
  schema: string,
  before: bigint,
): Promise<{ listener: string; sequence: string } | undefined> {
  const { rows } = await executor.query(
    `SELECT listener, sequence FROM "${schema}".dead_letters
     WHERE sequence < $1 AND state <> 'skipped' ORDER BY sequence LIMIT 1`,
    [before],
  )
  return rows[0] as { listener: string; sequence: string } | undefined
}

/** What a partition holds. Below the horizon nothing changes any more: what is read here holds later too. */
export async function readContent(
  executor: Executor,
  schema: string,
  name: string,
): Promise<PartitionContent> {
  const { rows } = await executor.query(
    `SELECT coalesce(sum(n), 0) AS events, coalesce(array_agg(type), '{}') AS types,
       coalesce(bool_or(streams), false) AS streams, max(newest) AS newest
     FROM (SELECT type, count(*) AS n, bool_or(stream IS NOT NULL) AS streams, max(recorded_at) AS newest
           FROM "${schema}"."${name}" GROUP BY type) AS t`,
  )
  const row = rows[0] as { events: string; types: string[]; streams: boolean; newest: Date | null }
  return { ...row, events: BigInt(row.events) }
}

/** When the event with the highest number of a partition was recorded; undefined: it has none, or is gone. */
async function latestOf(
  executor: Executor,
  schema: string,
  name: string,
): Promise<Date | undefined> {
  try {
    const { rows } = await executor.query(
      `SELECT recorded_at FROM "${schema}"."${name}" ORDER BY sequence DESC LIMIT 1`,
    )
    return rows[0]?.['recorded_at'] as Date | undefined
  } catch (error) {
    if (errorCodeOf(error) === undefinedTable) return undefined
    throw error
  }
}

/** A job that waits for an event which a partition may hold. */
export async function waitingJob(
  executor: Executor,
  schema: string,
  name: string,
): Promise<string | undefined> {
  const { rows } = await executor.query(
    `SELECT w.job FROM "${schema}".job_waits w
     WHERE w.kind = 'event' AND EXISTS (
       SELECT FROM "${schema}"."${name}" e
       WHERE e.sequence > coalesce(w.sequence, 0) AND e.type = w.target
         AND (w.key IS NULL OR coalesce(e.key, e.stream) = w.key))
     LIMIT 1`,
  )
  return rows[0]?.['job'] as string | undefined
}

async function projectionsOf(
  executor: Executor,
  schema: string,
  types: readonly string[],
): Promise<string[]> {
  return consumersOf(executor, schema, 'projection', types)
}

async function relaysOf(
  executor: Executor,
  schema: string,
  types: readonly string[],
): Promise<string[]> {
  return consumersOf(executor, schema, 'relay', types)
}

/** The names of those of a kind that handle any of these types. */
async function consumersOf(
  executor: Executor,
  schema: string,
  kind: string,
  types: readonly string[],
): Promise<string[]> {
  const { rows } = await executor.query(
    `SELECT name FROM "${schema}".listeners
     WHERE kind = $2 AND (definition -> 'types' IS NULL OR definition -> 'types' ?| $1::text[])
     ORDER BY name`,
    [types, kind],
  )
  return rows.map((row) => row['name'] as string)
}
