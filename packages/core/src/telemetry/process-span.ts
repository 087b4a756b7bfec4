import type { Link, Span } from '@opentelemetry/api'
import { attribute, convention, systemName } from './conventions.ts'
import { count, isMetered, record } from './meter.ts'
import { spanContextOf, type TraceContext } from './trace-context.ts'
import { attributes, errorTypeOf, failSpan, startSpan, tracer, withSpan } from './tracer.ts'

/** An event, as far as telemetry tells of it. */
export interface ProcessedEvent extends TraceContext {
  readonly id: string
  readonly type: string
  readonly sequence: bigint
}

/** What was done in a batch, as far as telemetry tells of it. */
export interface Processed {
  readonly events: readonly ProcessedEvent[]
  readonly aside: readonly {
    readonly event: ProcessedEvent
    readonly state: string
    readonly attempts: number
    readonly error: unknown
  }[]
}

/** A batch, as far as telemetry tells of it. */
export interface ProcessedBatch extends Processed {
  readonly schema: string
  readonly listener: string
  readonly partition: number
  readonly live: boolean
  readonly attempt: number
}

// A batch of a thousand events of as many requests would make a span that no backend shows.
const mostLinks = 32
const operation = { [convention.system]: systemName, [convention.operationName]: 'process' }

/** Runs `work`, which handles the batch, commits, and answers how much of it that was, inside of a span. */
export async function inProcessSpan<T extends Processed>(
  batch: ProcessedBatch,
  work: () => Promise<T>,
): Promise<T> {
  const { schema, listener } = batch
  const span = tracer() === undefined ? undefined : start(batch)
  const metered = isMetered()
  const started = metered ? performance.now() : 0
  const given = { ...operation, [attribute.schema]: schema, [convention.listener]: listener }
  try {
    const result = await withSpan(span, work)
    if (metered) {
      record('messaging.process.duration', (performance.now() - started) / 1000, given)
      countBatch({ ...batch, ...result }, given)
    }
    if (span !== undefined) noteDeadLetters({ ...batch, ...result }, span)
    span?.end()
    return result
  } catch (error) {
    if (metered) {
      const failed = { ...given, [convention.errorType]: errorTypeOf(error) }
      record('messaging.process.duration', (performance.now() - started) / 1000, failed)
    }
    failSpan(span, error)
    throw error
  }
}

/** Counts an attempt that failed, and what comes of it. */
export function countFailure(
  what: 'retries' | 'halts',
  schema: string,
  listener: string,
  error: unknown,
): void {
  count(`tidemark.listener.${what}`, 1, {
    [attribute.schema]: schema,
    [convention.listener]: listener,
    [convention.errorType]: errorTypeOf(error),
  })
}

function start(batch: ProcessedBatch): Span | undefined {
  const { schema, listener, partition, live, attempt, events, aside } = batch
  const all = events.length > 0 ? events : aside.map(({ event }) => event)
  return startSpan({
    span: 'process',
    of: listener,
    options: {
      root: true,
      links: linksTo(all),
      attributes: attributes({
        ...operation,
        [convention.operationType]: 'process',
        [convention.listener]: listener,
        [convention.partition]: String(partition),
        [convention.batchSize]: events.length,
        [attribute.schema]: schema,
        [attribute.firstSequence]: all[0]?.sequence,
        [attribute.lastSequence]: all.at(-1)?.sequence,
        [attribute.attempt]: attempt,
        [attribute.live]: live,
      }),
    },
  })
}

function linksTo(events: readonly ProcessedEvent[]): Link[] {
  const links = new Map<string, Link>()
  for (const { traceparent, tracestate } of events) {
    if (links.size === mostLinks) break
    if (traceparent === null || links.has(traceparent)) continue
    const context = spanContextOf({ traceparent, tracestate })
    if (context !== undefined) links.set(traceparent, { context })
  }
  return [...links.values()]
}

function countBatch(
  { schema, listener, events, aside }: ProcessedBatch,
  given: Readonly<Record<string, string>>,
): void {
  const owner = { [attribute.schema]: schema, [convention.listener]: listener }
  if (events.length > 0) {
    count('messaging.client.consumed.messages', events.length, given)
    record('tidemark.batch.size', events.length, owner)
  }
  for (const { state } of aside) {
    count('tidemark.dead_letters', 1, { ...owner, [attribute.outcome]: state })
  }
}

/** A span for each event that was set aside for its own fault; those that wait behind it are counted only. */
function noteDeadLetters(
  { schema, listener, partition, aside }: ProcessedBatch,
  parent: Span,
): void {
  for (const { event, state, attempts, error } of aside) {
    if (error === null) continue
    const span = startSpan({
      span: 'set aside',
      of: listener,
      parent,
      options: {
        links: linksTo([event]),
        attributes: attributes({
          [convention.listener]: listener,
          [convention.partition]: String(partition),
          [convention.destination]: event.type,
          [convention.messageId]: event.id,
          [attribute.schema]: schema,
          [attribute.sequence]: event.sequence,
          [attribute.attempt]: attempts,
          [attribute.outcome]: state,
        }),
      },
    })
    failSpan(span, error)
  }
}
