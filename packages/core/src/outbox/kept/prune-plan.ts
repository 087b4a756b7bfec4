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
 * - `jobs`: an unfinished job was given an event of it, or waits for one and has not looked at it;
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
  /** How old that is, in milliseconds, by the server's clock; infinite when there is none. */
  readonly age: number
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
  const latest = await unlessGone(latestOf(executor, schema, name))
  if (latest !== undefined && latest.age < olderThan) {
    return stays('age', `its newest event is of ${latest.at.toISOString()}`)
  }
  const content = await unlessGone(readContent(executor, schema, name))
  if (content === undefined) return undefined
  const { events, types, streams, newest, age } = content
  const job = await unlessGone(askingJob(executor, schema, partition))
  if (job !== undefined) {
    return stays('jobs', `${job.name} ${job.id} asks for events of it: ${job.step}`, events)
  }
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

/** What is read of a partition; undefined when somebody else has pruned it meanwhile. */
async function unlessGone<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (error) {
    if (errorCodeOf(error) === undefinedTable) return undefined
    throw error
  }
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

/**
 * A job that has not finished and that asks for an event of a partition: it was given one, and will be given it again when
 * its code runs again; or it waits for such an event, and has not looked at it yet.
 */
export async function askingJob(
  executor: Executor,
  schema: string,
  { name, from, to }: OutboxPartition,
): Promise<{ id: string; name: string; step: string } | undefined> {
  const { rows } = await executor.query(
    `WITH waits AS MATERIALIZED (
       SELECT j.id, j.name, s.step, s.position, s.output FROM "${schema}".job_steps s
       JOIN "${schema}".jobs j ON j.id = s.job AND j.status NOT IN ('completed', 'failed', 'cancelled')
       WHERE s.kind = 'event' AND s.error IS NULL AND s.output IS NOT NULL
     ), open AS MATERIALIZED (
       -- One look at the partition is enough for all of them: of those that ask for the same, the furthest behind.
       SELECT DISTINCT ON (t.type, w.output ->> 'key') w.id, w.name, w.step, t.type, w.output ->> 'key' AS key,
         (w.output ->> 'after')::bigint AS after
       FROM waits w, jsonb_array_elements_text(w.output -> 'types') AS t (type)
       WHERE w.position IS NULL AND (w.output ->> 'after')::bigint < $2::bigint - 1
       ORDER BY t.type, w.output ->> 'key', (w.output ->> 'after')::bigint
     )
     (SELECT w.id, w.name, w.step FROM waits w
       WHERE CASE WHEN w.position IS NOT NULL
         THEN (w.output #>> '{}')::bigint >= $1::bigint AND (w.output #>> '{}')::bigint < $2::bigint END LIMIT 1)
     UNION ALL
     (SELECT o.id, o.name, o.step FROM open o JOIN "${schema}"."${name}" e ON e.type = o.type
       AND coalesce(e.key, e.stream) = o.key AND e.sequence > o.after WHERE o.key IS NOT NULL LIMIT 1)
     UNION ALL
     (SELECT o.id, o.name, o.step FROM open o JOIN "${schema}"."${name}" e ON e.type = o.type
       AND e.sequence > o.after WHERE o.key IS NULL LIMIT 1)
     LIMIT 1`,
    [from, to],
  )
  return rows[0] as { id: string; name: string; step: string } | undefined
}

/** What a partition holds. Below the horizon nothing changes any more: what is read here holds later too. */
export async function readContent(
  executor: Executor,
  schema: string,
  name: string,
): Promise<PartitionContent> {
  const { rows } = await executor.query(
    `SELECT coalesce(sum(n), 0) AS events, coalesce(array_agg(type), '{}') AS types,
       coalesce(bool_or(streams), false) AS streams, max(newest) AS newest,
       coalesce(${ageOf('max(newest)')}, 'infinity') AS age
     FROM (SELECT type, count(*) AS n, bool_or(stream IS NOT NULL) AS streams, max(recorded_at) AS newest
           FROM "${schema}"."${name}" GROUP BY type) AS t`,
  )
  const row = rows[0] as Omit<PartitionContent, 'events'> & { readonly events: string }
  return { ...row, events: BigInt(row.events) }
}

/** When the event with the highest number of a partition was recorded, and its age in milliseconds; undefined: it has none. */
async function latestOf(
  executor: Executor,
  schema: string,
  name: string,
): Promise<{ readonly at: Date; readonly age: number } | undefined> {
  const { rows } = await executor.query(
    `SELECT recorded_at AS at, ${ageOf('recorded_at')} AS age FROM "${schema}"."${name}"
     ORDER BY sequence DESC LIMIT 1`,
  )
  return rows[0] as { readonly at: Date; readonly age: number } | undefined
}

/** The age of a moment in milliseconds, by the server's clock: a process's may be wrong. */
function ageOf(moment: string): string {
  return `extract(epoch FROM clock_timestamp() - ${moment})::float8 * 1000`
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
