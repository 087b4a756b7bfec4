import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { requireSchemaName } from '../../database/schema.ts'
import { forgetKeys } from '../../database/sql/outbox/idempotency-keys.ts'
import { requireSequence, requireUuid } from '../../errors/checked-values.ts'
import { describeError, type ErrorDescription } from '../../errors/describe-error.ts'
import {
  rejectUnknownOptions,
  requireOptions,
  requireTexts,
  requireWhole,
} from '../../errors/options.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventRegistry } from '../../event/registry.ts'
import { toEventSequence, type EventSequence } from '../../event/sequence.ts'
import { StoredEvent } from '../../event/stored-event.ts'
import { readHorizon } from '../ordered/horizon.ts'
import { readPublishers, type Publisher } from '../ordered/publishers.ts'
import { readSkips, type SkipReport } from '../ordered/skip-detector.ts'
import { readEventTrace, type EventTrace, type TraceOptions } from '../read/event-trace.ts'
import {
  countEvents,
  inspectEvent,
  inspectPage,
  inspectRow,
  inspectStream,
  type InspectedEvent,
  type InspectedPage,
  type InspectedStream,
  type InspectOptions,
} from '../read/inspect.ts'
import { checkSearch, searchEvents, type EventSearch, type FoundEvents } from '../read/search.ts'
import { listStreams, type StreamPage, type StreamSummary } from '../read/streams.ts'
import { hasStrays, readPartitions, type OutboxPartition } from './partitions.ts'
import { planPrune, type PruneCandidate, type PruneOptions } from './prune-plan.ts'
import { prune, type Pruned } from './prune.ts'

/** How large the outbox is, and how far it is read. */
export interface OutboxStats {
  readonly lastSequence: EventSequence
  readonly horizon: EventSequence
  /** The cursor that is furthest behind; null when no listener has been started. */
  readonly lowestCursor: { readonly listener: string; readonly sequence: EventSequence } | null
  readonly partitions: readonly OutboxPartition[]
  /** Whether events are in the default partition, for want of another one. */
  readonly strays: boolean
  /** The first sequence that was not pruned; null when nothing was. */
  readonly prunedBelow: EventSequence | null
  /** About how many idempotency keys are kept; null before the first ANALYZE of their table. */
  readonly idempotencyKeys: bigint | null
}

/** An event as a handler of this application would see it. */
export interface DecodedEvent {
  /** Upcast and checked; undefined when it cannot be read. */
  readonly event?: RecordedEvent
  /** Why it cannot be read. */
  readonly error?: ErrorDescription
  /** Whether the application has a definition of its type. Without one the payload is as it is stored. */
  readonly defined: boolean
}

// A hundred years, in milliseconds.
const longestAge = 36_525 * 86_400_000
const pruneOptions = ['olderThan', 'relayMargin', 'evenProjections', 'evenStreams', 'archive']

/** Looking at the outbox as a whole, and keeping it small. */
export class OutboxAdmin {
  readonly #database: Database
  readonly #schema: string
  readonly #registry: EventRegistry

  constructor(database: Database, schema: string, registry: EventRegistry) {
    this.#database = database
    this.#schema = schema
    this.#registry = registry
  }

  /** How large it is, and how far it is read. */
  async stats(): Promise<OutboxStats> {
    const { sequence: horizon, lastSequence } = await readHorizon(this.#database, this.#schema)
    const partitions = await readPartitions(this.#database, this.#schema)
    const strays = await hasStrays(this.#database, this.#schema)
    const { rows } = await this.#database.query(
      `SELECT (SELECT max(upper_bound) FROM "${this.#schema}".pruned_partitions) AS pruned,
         (SELECT nullif(reltuples, -1)::bigint FROM pg_class
          WHERE oid = '"${this.#schema}".idempotency_keys'::regclass) AS keys,
         c.listener, c.cursor
       FROM (VALUES (1)) AS one (row)
       LEFT JOIN (SELECT listener, cursor FROM "${this.#schema}".cursors
                  ORDER BY cursor, listener LIMIT 1) AS c ON true`,
    )
    const { pruned, keys, listener, cursor } = rows[0] as Record<string, string | null>
    const sequenceOf = (text: string | null | undefined): EventSequence | null =>
      text === null || text === undefined ? null : toEventSequence(text)
    const lowest = sequenceOf(cursor)
    return {
      lastSequence,
      horizon,
      lowestCursor: lowest === null ? null : { listener: listener as string, sequence: lowest },
      partitions,
      strays,
      prunedBelow: sequenceOf(pruned),
      idempotencyKeys: keys === null || keys === undefined ? null : BigInt(keys),
    }
  }

  /** The last sequence drawn, and the horizon: up to where every publisher's outcome is known. */
  async position(): Promise<Pick<OutboxStats, 'lastSequence' | 'horizon'>> {
    const { sequence: horizon, lastSequence } = await readHorizon(this.#database, this.#schema)
    return { lastSequence, horizon }
  }

  /** The transactions that publish now, those that hold the horizon back first. */
  async publishers(): Promise<readonly Publisher[]> {
    return readPublishers(this.#database, this.#schema)
  }

  /** Whether an event turned up at or below a horizon that readers had passed: whether one may have been skipped. */
  async skips(): Promise<SkipReport> {
    return readSkips(this.#database, this.#schema)
  }

  /**
   * Events as they are stored, whether or not a definition reads them, in the order of sequences; never past a
   * transaction that is still publishing. Those that are decoded come from `app.events()`.
   */
  async inspect(options: InspectOptions = {}): Promise<InspectedPage> {
    rejectUnknownOptions('outbox.inspect', options, ['after', 'limit', 'types', 'stream'])
    const { after, limit, types } = options
    if (limit !== undefined) requireWhole('outbox.inspect', 'limit', limit, 0)
    if (after !== undefined) requireSequence('outbox.inspect', 'after', after)
    if (types !== undefined) requireTexts('outbox.inspect', 'types', types)
    return inspectPage(this.#database, this.#schema, options)
  }

  /** One committed event as it is stored, by its sequence or by its id, which no index serves. */
  async inspectEvent(
    by: { readonly sequence: EventSequence } | { readonly id: string },
  ): Promise<InspectedEvent | undefined> {
    requireOptions('outbox.inspectEvent', by, 'For instance `{ sequence }`.')
    if ('sequence' in by) requireSequence('outbox.inspectEvent', 'sequence', by.sequence)
    else requireUuid('outbox.inspectEvent', 'id', by.id)
    return inspectEvent(this.#database, this.#schema, by)
  }

  /**
   * Looks for events by type, stream, key, correlation, time or what their payload holds, newest first and up to the
   * horizon. Only sequences and streams have an index, so one answer looks at a bounded number of events: with `next` it
   * goes on where it stopped.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   *
   * @example
   * ```ts
   * import { defineApp } from 'tidemark'
   *
   * await using app = defineApp({ modules: [] })
   * const { events, next } = await app.outbox.search({ payload: { path: ['customer', 'id'], equals: 'c-1' } })
   * console.log(events.length, next === null ? 'that is all' : `look further before ${next}`)
   * ```
   */
  async search(search: EventSearch = {}): Promise<FoundEvents> {
    checkSearch(search)
    return searchEvents(this.#database, this.#schema, search)
  }

  /**
   * What led to an event and what came of it: events, listeners that spawned, jobs and steps with the same correlation,
   * as a tree in the order of reading. Undefined when there is no such event.
   */
  async trace(
    sequence: EventSequence,
    options: TraceOptions = {},
  ): Promise<EventTrace | undefined> {
    rejectUnknownOptions('outbox.trace', options, ['around', 'limit'])
    requireSequence('outbox.trace', 'sequence', sequence)
    requireWhole('outbox.trace', 'around', options.around ?? 0, 0)
    requireWhole('outbox.trace', 'limit', options.limit ?? 1, 1, 100_000)
    return readEventTrace(this.#database, this.#schema, sequence, options)
  }

  /** An event as a handler would see it: upcast, and checked by its schema. Undefined when there is no such event. */
  async decode(sequence: EventSequence): Promise<DecodedEvent | undefined> {
    requireSequence('outbox.decode', 'sequence', sequence)
    const row = await inspectRow(this.#database, this.#schema, { sequence })
    if (row === undefined) return undefined
    const defined = this.#registry.get(row.type) !== undefined
    try {
      return { event: new StoredEvent(row).decode(this.#registry), defined }
    } catch (error) {
      return { error: describeError(error), defined }
    }
  }

  /** A page of streams and their versions, by name. */
  async streams(page: StreamPage = {}): Promise<StreamSummary[]> {
    return listStreams(this.#database, this.#schema, page)
  }

  /**
   * A stream's version and its events as they are stored, in the order of versions; undefined when it does not exist.
   *
   * @param range.after - only events after this version. Defaults to 0.
   * @param range.limit - the most. Defaults to 100.
   */
  async inspectStream(
    stream: string,
    range: { readonly after?: bigint; readonly limit?: number } = {},
  ): Promise<InspectedStream | undefined> {
    rejectUnknownOptions('outbox.inspectStream', range, ['after', 'limit'])
    const { after = 0n, limit = 100 } = range
    requireSequence('outbox.inspectStream', 'after', after)
    requireWhole('outbox.inspectStream', 'limit', limit, 0)
    return inspectStream(this.#database, this.#schema, stream, { after, limit })
  }

  /** How many events there are after one sequence, up to and including another. It reads all of them. */
  async count(after: EventSequence, upTo: EventSequence): Promise<bigint> {
    requireSequence('outbox.count', 'after', after)
    requireSequence('outbox.count', 'upTo', upTo)
    return countEvents(this.#database, this.#schema, after, upTo)
  }

  /** Which partitions can go, the oldest first, up to the first one that has to stay. Changes nothing. */
  async planPrune(options: PruneOptions = {}): Promise<readonly PruneCandidate[]> {
    checkPruneOptions('planPrune', options)
    return planPrune(this.#database, this.#schema, options)
  }

  /**
   * Drops or archives the whole partitions that every listener has passed and nobody needs. Needs the owner of the
   * tables.
   *
   * @example
   * ```ts
   * import { defineApp } from 'tidemark'
   *
   * await using app = defineApp({ modules: [] })
   * const { partitions, stopped } = await app.outbox.prune({ olderThan: 90 * 86_400_000 })
   * console.log(partitions.length, 'partitions dropped;', stopped?.because)
   * ```
   */
  async prune(options: PruneOptions = {}): Promise<Pruned> {
    checkPruneOptions('prune', options)
    return prune(this.#database, this.#schema, options)
  }

  /**
   * Forgets idempotency keys that are older than this, in milliseconds: a second publish with one of them is not
   * recognised any more.
   *
   * @returns how many.
   */
  async forgetIdempotencyKeys(olderThan: number): Promise<number> {
    requireWhole('forgetIdempotencyKeys', 'olderThan', olderThan, 0, longestAge)
    let total = 0
    for (;;) {
      const { rowCount } = await run(this.#database, forgetKeys(this.#schema), [olderThan])
      if (rowCount === null || rowCount === 0) return total
      total += rowCount
    }
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkPruneOptions(where: string, options: PruneOptions): void {
  rejectUnknownOptions(where, options, pruneOptions)
  for (const name of ['olderThan', 'relayMargin'] as const) {
    const age = options[name]
    if (age !== undefined) requireWhole(where, name, age, 0, longestAge)
  }
  if (options.archive !== undefined) requireSchemaName(options.archive)
}
