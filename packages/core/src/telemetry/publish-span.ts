import type { Span } from '@opentelemetry/api'
import { attribute, convention, systemName } from './conventions.ts'
import { count, isMetered, record } from './meter.ts'
import { attributes, errorTypeOf, failSpan, startSpan, withSpan } from './tracer.ts'

/** An event that was published, as far as telemetry tells of it. */
interface Published {
  readonly id: string
  readonly type: string
  readonly sequence: bigint
}

const operation = { [convention.system]: systemName, [convention.operationName]: 'publish' }

/** The span of one publish, or of all that one transaction publishes. It begins with the first event. */
export class PublishSpan {
  readonly #schema: string
  #span: Span | undefined
  #started: number | undefined

  constructor(schema: string) {
    this.#schema = schema
  }

  /**
   * Runs `work` inside of the span: events that it makes carry its context.
   *
   * @param type - what is published, if it is of one type.
   */
  run<T>(type: string | undefined, work: () => T): T {
    if (this.#started === undefined) {
      this.#started = performance.now()
      this.#span = startSpan({
        span: 'publish',
        of: type ?? '',
        options: {
          attributes: {
            ...operation,
            [convention.operationType]: 'send',
            [attribute.schema]: this.#schema,
          },
        },
      })
    }
    return withSpan(this.#span, work)
  }

  /** The events are there for good. */
  end(events: readonly Published[]): void {
    if (this.#started === undefined) return
    countPublished(this.#schema, events)
    this.#recordDuration()
    if (this.#span === undefined) return
    const [first] = events
    const type = events.every((event) => event.type === first?.type) ? first?.type : undefined
    this.#span.updateName(type === undefined ? 'publish' : `publish ${type}`)
    this.#span.setAttributes(
      attributes({
        [convention.destination]: type,
        [convention.batchSize]: events.length,
        [convention.messageId]: events.length === 1 ? first?.id : undefined,
        [attribute.lastSequence]: events.at(-1)?.sequence,
      }),
    )
    this.#span.end()
  }

  /** Nothing was published, or it is not known. */
  fail(error: unknown): void {
    if (this.#started === undefined) return
    this.#recordDuration({ [convention.errorType]: errorTypeOf(error) })
    failSpan(this.#span, error)
  }

  #recordDuration(error: Readonly<Record<string, string>> = {}): void {
    const took = (performance.now() - (this.#started ?? 0)) / 1000
    const given = { ...operation, [attribute.schema]: this.#schema, ...error }
    record('messaging.client.operation.duration', took, given)
  }
}

/** Counts events that were published, by their types. */
export function countPublished(schema: string, events: readonly Pick<Published, 'type'>[]): void {
  if (events.length === 0 || !isMetered()) return
  const byType = new Map<string, number>()
  for (const { type } of events) byType.set(type, (byType.get(type) ?? 0) + 1)
  for (const [type, number] of byType) {
    count('messaging.client.sent.messages', number, {
      ...operation,
      [attribute.schema]: schema,
      [convention.destination]: type,
    })
  }
}
