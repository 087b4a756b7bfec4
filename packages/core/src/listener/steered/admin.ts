import { run, type Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { rewindCursors } from '../../database/sql/listener/definitions.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { requireSequence } from '../../errors/checked-values.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import { closest, rejectUnknownOptions, requireOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import { requireUnprunedAfter, type GoBackOptions } from '../../outbox/kept/pruned.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import { skipHalted, type SkippedEvent } from '../failed/skip.ts'
import type { ConsumerKind } from '../read/consumer.ts'
import { readReceptions, type ReceivedEvent, type Reception } from './reception.ts'

/** One partition of a listener, as operators see it. */
export interface PartitionStatus {
  readonly partition: number
  readonly cursor: EventSequence
  /** The process that runs it; null when none does. */
  readonly owner: string | null
  /** `host:pid` of that process; its id when it is not known any more. */
  readonly process: string | null
  /** How many sequences it is behind, as the lag of the listener. */
  readonly lag: bigint
  readonly attempts: number
  readonly failedSequence: EventSequence | null
  readonly nextAttemptAt: Date | null
  readonly haltedAt: Date | null
  readonly lastError: ErrorDescription | null
  /** The version of an event that its owners were too old for; null: none. Only a process that knows it takes it. */
  readonly awaits: { readonly type: string; readonly version: number } | null
}

/** One listener or projection, as operators see it. */
export interface ListenerStatus {
  readonly name: string
  readonly kind: ConsumerKind
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly status: 'active' | 'paused' | 'halted' | 'rebuilding'
  /** The lowest cursor of its partitions. */
  readonly cursor: EventSequence
  /**
   * How many sequences it is behind the last one drawn: an upper bound of the events left to do. 0 for inline projections,
   * which are done with an event when its publisher commits.
   */
  readonly lag: bigint
  /** The age of the oldest event after that cursor, in seconds; 0 when there is none, and for inline projections. */
  readonly lagSeconds: number
  readonly partitions: readonly PartitionStatus[]
  /** The types of events that it handles, as the latest process that started it wrote them down. */
  readonly types: readonly string[]
  /** How many events it has set aside that are not given up. */
  readonly deadLetters: number
  /** While the number of partitions changes: to how many, and the sequence that all of them stop at first. */
  readonly resize: { readonly to: number; readonly at: EventSequence } | null
}

/** Looking at listeners and projections and steering them, from any process. */
export class ListenerAdmin {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /** All listeners and projections that any process ever started, by name. */
  async list(): Promise<ListenerStatus[]> {
    const { lastSequence } = await readHorizon(this.#database, this.#schema)
    const { rows } = await this.#database.query(`
      SELECT l.name, l.kind, l.mode, l.version, l.status, l.resize_to, l.resize_at, c.partition, c.cursor, c.attempts,
             c.failed_sequence, c.next_attempt_at, c.halted_at, c.last_error, c.awaits,
             w.owner, coalesce(p.hostname || ':' || p.pid, w.owner::text) AS process, o.age,
             coalesce(l.definition -> 'types', '[]') AS types, d.events AS dead_letters
      FROM "${this.#schema}".listeners l
      LEFT JOIN "${this.#schema}".cursors c ON c.listener = l.name AND c.generation = l.generation
      CROSS JOIN LATERAL (SELECT CASE WHEN c.lease_until > clock_timestamp() THEN c.owner END AS owner) w
      LEFT JOIN "${this.#schema}".processes p ON p.id = w.owner
      CROSS JOIN LATERAL (
        SELECT count(*)::integer AS events FROM "${this.#schema}".dead_letters d
        WHERE d.listener = l.name AND d.generation = l.generation AND d.state <> 'skipped'
      ) d
      -- One row of the primary key's index for each listener.
      LEFT JOIN LATERAL (
        SELECT extract(epoch FROM clock_timestamp() - e.recorded_at)::float8 AS age
        FROM "${this.#schema}".events e
        WHERE e.sequence > (SELECT min(m.cursor) FROM "${this.#schema}".cursors m
                            WHERE m.listener = l.name AND m.generation = l.generation)
        ORDER BY e.sequence LIMIT 1
      ) o ON l.mode = 'async'
      ORDER BY l.name, c.partition`)
    const byName = Map.groupBy(rows as unknown as StatusRow[], (row) => row.name)
    return [...byName.values()].map((partitions) => toStatus(partitions, lastSequence))
  }

  /** @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER. */
  async get(name: string): Promise<ListenerStatus> {
    const all = await this.list()
    const found = all.find((listener) => listener.name === name)
    if (found !== undefined) return found
    const meant = closest(
      name,
      all.map((listener) => listener.name),
    )
    throw new TidemarkError(
      'TIDEMARK_UNKNOWN_LISTENER',
      `no listener or projection is named "${name}"`,
      {
        ...(meant === undefined ? {} : { hint: `Did you mean "${meant}"?` }),
        details: { listener: name },
      },
    )
  }

  /**
   * What each listener and projection has made of an event, those that do not handle its type left out.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  async received(event: ReceivedEvent): Promise<Reception[]> {
    requireSequence(
      'listeners.received',
      'sequence',
      requireOptions('listeners.received', event).sequence,
    )
    return readReceptions(this.#database, this.#schema, event, await this.list())
  }

  /** Stops a listener after the batch under way, in whatever process it runs. */
  async pause(name: string): Promise<void> {
    await this.#steer(name, (schema) => [
      `UPDATE ${schema}.cursors SET owner = NULL, lease_until = NULL, epoch = epoch + 1 WHERE listener = $1`,
      `UPDATE ${schema}.listeners SET status = 'paused', updated_at = clock_timestamp() WHERE name = $1`,
    ])
  }

  /** Lets a paused or halted listener go on, with the event that it halted on. */
  async resume(name: string): Promise<void> {
    await this.#steer(name, (schema) => [
      `UPDATE ${schema}.cursors
       SET halted_at = NULL, attempts = 0, failed_sequence = NULL, next_attempt_at = NULL, last_error = NULL, awaits = NULL
       WHERE listener = $1`,
      `UPDATE ${schema}.listeners SET status = 'active', updated_at = clock_timestamp() WHERE name = $1`,
    ])
  }

  /**
   * Lets a halted listener pass the event that it halted on, which is recorded as a dead letter in the state
   * `skipped`, and go on with the next. Each of its partitions that has halted does so.
   *
   * @param sequence - only if it halted on this event: what an operator has looked at is what is skipped. Defaults to
   * whatever it halted on.
   * @throws TidemarkError TIDEMARK_NOT_HALTED, or TIDEMARK_UNKNOWN_LISTENER.
   */
  async skip(name: string, sequence?: EventSequence): Promise<SkippedEvent[]> {
    if (sequence !== undefined) requireSequence('listeners.skip', 'sequence', sequence)
    await this.get(name)
    const [skipped] = await inTransaction(this.#database, brief, (transaction) =>
      skipHalted(transaction, this.#schema, name, sequence ?? null),
    )
    return skipped
  }

  /**
   * Sends a listener to another sequence; what it handled before is handled again, with `replaying` true. It does
   * not undo what its handlers wrote: a projection has a `reset` of its own that does. Nor does it take back what they
   * published, spawned or sent elsewhere: **they publish and spawn again** what they did, unless they look at `replaying`.
   * Ask whoever runs this first, as `tidemark listener reset` does.
   *
   * @param to - the sequence to go on after. Defaults to zero: everything again.
   * @throws TidemarkError TIDEMARK_EVENTS_PRUNED when events that it handles were pruned after that sequence, unless
   * `evenPruned` is true; TIDEMARK_CURSOR_AHEAD beyond the last sequence; TIDEMARK_UNKNOWN_LISTENER.
   */
  async reset(
    name: string,
    to: EventSequence = sequenceZero,
    options: GoBackOptions = {},
  ): Promise<void> {
    rejectUnknownOptions('listeners.reset', options, ['evenPruned'])
    requireSequence('listeners.reset', 'to', to)
    const { kind } = await this.get(name)
    if (kind === 'projection') {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `"${name}" is a projection, not a listener`,
        {
          hint: 'Reset it with `tidemark.reset(projection)`, which empties its state too.',
        },
      )
    }
    const { lastSequence } = await readHorizon(this.#database, this.#schema)
    if (to > lastSequence) {
      throw new TidemarkError(
        'TIDEMARK_CURSOR_AHEAD',
        `sequence ${to} is beyond the last one, ${lastSequence}`,
        {
          details: { to, lastSequence },
        },
      )
    }
    await inTransaction(this.#database, brief, async (transaction) => {
      // Before anything else is locked, as whoever prunes does.
      const handles = { name, types: await this.#typesOf(transaction, name) }
      await requireUnprunedAfter(transaction, this.#schema, handles, to, options)
      await run(transaction, rewindCursors(this.#schema), [name, to])
      // What was set aside behind the new cursor comes by again.
      await transaction.query(
        `DELETE FROM "${this.#schema}".dead_letters WHERE listener = $1 AND sequence > $2`,
        [name, to],
      )
      await transaction.query(
        `UPDATE "${this.#schema}".listeners SET status = 'active' WHERE name = $1 AND status = 'halted'`,
        [name],
      )
    })
  }

  /** What the listener handles, as the latest process that started it wrote it down. */
  async #typesOf(executor: Executor, name: string): Promise<Set<string>> {
    const { rows } = await executor.query(
      `SELECT definition -> 'types' AS types FROM "${this.#schema}".listeners WHERE name = $1`,
      [name],
    )
    return new Set((rows[0]?.['types'] as string[] | null | undefined) ?? [])
  }

  async #steer(name: string, statements: (schema: string) => readonly string[]): Promise<void> {
    await this.get(name)
    await inTransaction(this.#database, brief, async (transaction) => {
      for (const text of statements(`"${this.#schema}"`)) await transaction.query(text, [name])
    })
  }
}

interface StatusRow {
  readonly process: string | null
  readonly types: readonly string[]
  readonly dead_letters: number
  readonly name: string
  readonly kind: ConsumerKind
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly status: ListenerStatus['status']
  readonly resize_to: number | null
  readonly resize_at: string | null
  readonly partition: number | null
  readonly cursor: string
  readonly owner: string | null
  readonly attempts: number
  readonly failed_sequence: string | null
  readonly next_attempt_at: Date | null
  readonly halted_at: Date | null
  readonly last_error: ErrorDescription | null
  readonly awaits: PartitionStatus['awaits']
  readonly age: number | null
}

function toStatus(rows: readonly StatusRow[], lastSequence: EventSequence): ListenerStatus {
  const first = rows[0] as StatusRow
  const { name, kind, mode, version, status, age, resize_to: to, resize_at: at } = first
  const { types, dead_letters: deadLetters } = first
  // An intake reads no outbox: how far it is behind, its broker knows. An inline projection is done with an event when its
  // publisher commits, and its cursor stays at the last one that it handles, whatever else is published.
  const lagOf = (cursor: bigint): bigint =>
    kind !== 'intake' && mode === 'async' && lastSequence > cursor ? lastSequence - cursor : 0n
  const partitions = rows
    .filter((row) => row.partition !== null)
    .map((row): PartitionStatus => ({
      partition: row.partition as number,
      cursor: BigInt(row.cursor) as EventSequence,
      owner: row.owner,
      process: row.process,
      lag: lagOf(BigInt(row.cursor)),
      attempts: row.attempts,
      failedSequence:
        row.failed_sequence === null ? null : (BigInt(row.failed_sequence) as EventSequence),
      nextAttemptAt: row.next_attempt_at,
      haltedAt: row.halted_at,
      lastError: row.last_error,
      awaits: row.awaits,
    }))
  const cursor = partitions.reduce<EventSequence>(
    (lowest, partition) => (partition.cursor < lowest ? partition.cursor : lowest),
    partitions[0]?.cursor ?? sequenceZero,
  )
  const lag = lagOf(cursor)
  // The server's clock may go back.
  const lagSeconds = Math.max(0, age ?? 0)
  const resize = to === null || at === null ? null : { to, at: BigInt(at) as EventSequence }
  return {
    name,
    kind,
    mode,
    version,
    status,
    cursor,
    lag,
    lagSeconds,
    partitions,
    types,
    deadLetters,
    resize,
  }
}
