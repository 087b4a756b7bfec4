import { run, type Executor, type PreparingExecutor, type Row } from '../../database/executor.ts'
import { appendCalls as appendCallsStatement } from '../../database/sql/outbox/append-calls.ts'
import { insertEvent } from '../../database/sql/outbox/insert-event.ts'
import { insertAndReadEvents, insertEvents } from '../../database/sql/outbox/insert-events.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventRow } from '../../event/event-row.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { StoredEvent } from '../../event/stored-event.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'
import { bytesOf } from './publish-call.ts'

/** Whether the event needs the streams or the idempotency keys, and with them an answer before COMMIT. */
export function needsAppend(event: OutgoingEvent): boolean {
  return event.stream !== null || event.idempotencyKey !== null
}

// Neither a string of JavaScript nor a value of Postgres can be as large as many large events together.
const statementBytes = 16 * 1024 * 1024

/** Whether the events are few and small enough for one statement. */
export function fitsOneStatement(events: readonly OutgoingEvent[]): boolean {
  return events.length === 1 || bytesOf(events) <= statementBytes
}

/**
 * Inserts events in one statement, or several if they are large: all of them, or none, in the executor's transaction.
 *
 * @throws TidemarkError TIDEMARK_STREAM_CONFLICT or TIDEMARK_DUPLICATE_EVENT; the transaction is still usable.
 */
export async function append(
  executor: Executor | PreparingExecutor,
  schema: string,
  events: readonly OutgoingEvent[],
): Promise<PublishedEvent[]> {
  if (events.length === 0) return []
  if (events.some(needsAppend)) return appendChecked(executor, schema, events)
  if (fitsOneStatement(events)) return insert(executor, schema, events)
  const all: PublishedEvent[] = []
  for (const part of statementsOf(events)) all.push(...(await insert(executor, schema, part)))
  return all
}

async function insert(
  executor: Executor | PreparingExecutor,
  schema: string,
  events: readonly OutgoingEvent[],
): Promise<PublishedEvent[]> {
  const { rows } =
    events.length === 1
      ? await run(executor, insertEvent(schema), valuesOf(events[0] as OutgoingEvent))
      : await run(executor, insertEvents(schema), columnsOf(events, plainColumns))
  requireAll(rows, events)
  return events.map((event, index) => published(event, rows[index]))
}

/** Inserts events of no stream, few enough for one answer, and reads them as they are stored, in one round trip. */
export async function appendAndRead(
  executor: Executor | PreparingExecutor,
  schema: string,
  events: readonly OutgoingEvent[],
): Promise<{ readonly published: PublishedEvent[]; readonly stored: StoredEvent[] }> {
  const { rows } = await run(executor, insertAndReadEvents(schema), columnsOf(events, plainColumns))
  requireAll(rows, events)
  return {
    published: events.map((event, index) => published(event, rows[index])),
    stored: (rows as unknown as EventRow[]).map((row) => new StoredEvent(row)),
  }
}

/**
 * The server answers a row for each event, unless somebody has made it discard some: then nobody knows which.
 *
 * @throws TidemarkError TIDEMARK_INVARIANT_BROKEN.
 */
function requireAll(rows: readonly unknown[], events: readonly OutgoingEvent[]): void {
  if (rows.length === events.length) return
  throw new TidemarkError(
    'TIDEMARK_INVARIANT_BROKEN',
    `the server has kept ${rows.length} of ${events.length} events: a trigger or a rule of the outbox has discarded the others`,
  )
}

/** Divides large events among statements; each has at least one. */
function* statementsOf(events: readonly OutgoingEvent[]): Generator<readonly OutgoingEvent[]> {
  let part: OutgoingEvent[] = []
  let bytes = 0
  for (const event of events) {
    const size = bytesOf([event])
    if (part.length > 0 && bytes + size > statementBytes) {
      yield part
      part = []
      bytes = 0
    }
    part.push(event)
    bytes += size
  }
  yield part
}

type Column = (event: OutgoingEvent) => unknown

const plainColumns: readonly Column[] = [
  (event) => event.id,
  (event) => event.type,
  (event) => event.version,
  (event) => event.key,
  (event) => event.payload,
  (event) => event.payloadMeta,
  (event) => event.correlationId,
  (event) => event.causationId,
  (event) => event.traceparent,
  (event) => event.tracestate,
  (event) => event.metadata,
]

const checkedColumns: readonly Column[] = [
  (event) => event.id,
  (event) => event.type,
  (event) => event.version,
  (event) => event.stream,
  (event) => event.expectedVersion,
  (event) => event.key,
  (event) => event.idempotencyKey,
  ...plainColumns.slice(4),
]

function valuesOf(event: OutgoingEvent): unknown[] {
  return plainColumns.map((column) => column(event))
}

function columnsOf(events: readonly OutgoingEvent[], columns: readonly Column[]): unknown[] {
  return columns.map((column) => events.map(column))
}

/** What became of one call: its events, the error that refuses them, or `busy`: somebody holds its stream. */
export type CallOutcome = PublishedEvent[] | TidemarkError | 'busy'

/**
 * Appends the events of several calls in one statement, each call judged on its own. Of the calls that append to one
 * stream only the first may expect a version.
 *
 * @param wait - whether to wait for streams that other transactions hold; else such calls are answered `busy`.
 * @param patience - for how many milliseconds, in a transaction of its own. Defaults to no limit.
 */
export async function appendCalls(
  executor: Executor | PreparingExecutor,
  schema: string,
  calls: readonly (readonly OutgoingEvent[])[],
  wait: boolean,
  patience: number | null = null,
): Promise<CallOutcome[]> {
  const events = calls.flat()
  const callOf = calls.flatMap((call, index) => call.map(() => index))
  const { rows } = await run(executor, appendCallsStatement(schema), [
    callOf,
    ...columnsOf(events, checkedColumns),
    wait,
    patience,
  ])
  const conflicts = new Map<number, Row>()
  const answers: Row[] = []
  for (const row of rows) {
    const index = Number(row['ordinal']) - 1
    const call = callOf[index] as number
    if (row['conflict'] === null) {
      if (row['sequence'] !== null) answers[index] = row
    } else if (!conflicts.has(call)) conflicts.set(call, row)
  }
  const appended = events.filter((_, index) => !conflicts.has(callOf[index] as number))
  requireAll(Object.values(answers), appended)
  let start = 0
  return calls.map((call, index): CallOutcome => {
    const first = start
    start += call.length
    const conflict = conflicts.get(index)
    if (conflict?.['conflict'] === 'busy') return 'busy'
    if (conflict !== undefined) return conflictError(events, conflict)
    return call.map((event, nth) => published(event, answers[first + nth]))
  })
}

async function appendChecked(
  executor: Executor | PreparingExecutor,
  schema: string,
  events: readonly OutgoingEvent[],
): Promise<PublishedEvent[]> {
  const [outcome] = await appendCalls(executor, schema, [events], true)
  // A call that waits is never busy.
  if (outcome === undefined || outcome === 'busy') throw new Error('the server did not answer')
  if (outcome instanceof TidemarkError) throw outcome
  return outcome
}

function published(event: OutgoingEvent, row: Row | undefined): PublishedEvent {
  const { sequence, stream_version: version } = row as {
    sequence: string
    stream_version?: string | null
  }
  return {
    id: event.id,
    type: event.type,
    sequence: BigInt(sequence) as EventSequence,
    stream: event.stream,
    streamVersion: version === null || version === undefined ? null : BigInt(version),
  }
}

function conflictError(events: readonly OutgoingEvent[], row: Row): TidemarkError {
  const event = events[Number(row['ordinal']) - 1] as OutgoingEvent
  const { type, stream, expectedVersion, idempotencyKey } = event
  if (row['conflict'] === 'duplicate') {
    const sequence = row['actual'] === null ? null : BigInt(row['actual'] as string)
    return new TidemarkError(
      'TIDEMARK_DUPLICATE_EVENT',
      `${type} was not published: idempotency key "${idempotencyKey}" ${sequence === null ? 'is given twice' : `was used by event ${sequence}`}`,
      { details: { type, idempotencyKey, sequence } },
    )
  }
  const actualVersion = BigInt(row['actual'] as string)
  return new TidemarkError(
    'TIDEMARK_STREAM_CONFLICT',
    `${type} was not published: stream "${stream}" is at version ${actualVersion}, not ${expectedVersion}`,
    { details: { type, stream, expectedVersion, actualVersion } },
  )
}
