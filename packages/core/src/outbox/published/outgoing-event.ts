import { randomUUID } from 'node:crypto'
import type { ForeignTransaction } from '../../database/foreign/foreign-transaction.ts'
import { requireText } from '../../errors/checked-text.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { encodedPayload, type EventDraft } from '../../event/define-event.ts'
import { encodeMetadata } from '../../event/encoded/codec.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { currentCause, currentTrace } from './cause.ts'

/** How an event is published. */
export interface PublishOptions {
  /** The stream to append to. */
  readonly stream?: string
  /**
   * The version that the stream must be at: a number, `'none'` for a stream that does not exist yet, or
   * `'any'`. With several events it is that of the first. Defaults to `'any'`.
   */
  readonly expectedVersion?: number | bigint | 'none' | 'any'
  /** The ordering key. Defaults to the stream. */
  readonly key?: string
  /**
   * Refuses the event if another was ever published with the same key. With several events it is the key of the whole
   * call: all of them are published, or none, and the first of them has it.
   */
  readonly idempotencyKey?: string
  /** Defaults to that of the event being handled, or to the id of that event. */
  readonly correlationId?: string
  /** Defaults to the id of the event being handled. */
  readonly causationId?: string
  /** Headers of the application's own: whatever a payload may hold. */
  readonly metadata?: Readonly<Record<string, unknown>>
}

/** How an event is published outside of `tidemark.transaction`. */
export interface PublishNowOptions extends PublishOptions {
  /**
   * The transaction to publish in: a pg client, a Kysely transaction, or anything with `query(text, values)`.
   * The event is inserted at once, and from then until that transaction ends no listener reads past it: publish
   * late, and keep the rest short. Without it the event is published in a transaction of its own, which it
   * shares with whatever else the process publishes at that moment.
   */
  readonly tx?: ForeignTransaction
}

/** An event that has been inserted. It is visible to listeners when its transaction commits. */
export interface PublishedEvent {
  readonly id: string
  readonly type: string
  readonly sequence: EventSequence
  readonly stream: string | null
  /** Its position in the stream, starting at 1. */
  readonly streamVersion: bigint | null
}

/** One or several drafts. */
export type Drafts = EventDraft | readonly EventDraft[]

/** An event as it is sent to the database. */
export interface OutgoingEvent {
  readonly id: string
  readonly type: string
  readonly version: number
  readonly stream: string | null
  readonly expectedVersion: bigint | null
  readonly key: string | null
  readonly idempotencyKey: string | null
  readonly payload: string
  readonly payloadMeta: string | null
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
  readonly metadata: string | null
}

const optionNames = [
  'stream',
  'expectedVersion',
  'key',
  'idempotencyKey',
  'correlationId',
  'causationId',
  'metadata',
  'tx',
]
const noOptions: PublishOptions = Object.freeze({})

/**
 * Makes ready to send what the user gave: everything that can be wrong with it is found here, before anything
 * is sent.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, TIDEMARK_INVALID_EVENT or TIDEMARK_PAYLOAD_NOT_STORABLE.
 */
export function outgoingEvents(
  drafts: Drafts,
  options: PublishOptions = noOptions,
): OutgoingEvent[] {
  if (options !== noOptions) rejectUnknownOptions('publish', options, optionNames)
  const list = Array.isArray(drafts) ? (drafts as readonly EventDraft[]) : [drafts as EventDraft]
  const { stream = null, key = null, idempotencyKey } = options
  const metadata = options.metadata ?? undefined
  if (options !== noOptions) requireTexts(options)
  const expectedVersion = expectedVersionOf(options)
  const cause = currentCause.getStore()
  const { traceparent, tracestate } = currentTrace()
  const marked = cause?.step === undefined ? metadata : { ...metadata, 'tidemark.step': cause.step }
  const metadataJson = marked === undefined ? null : encodeMetadata(marked)
  return list.map((draft, index): OutgoingEvent => {
    if (typeof draft?.definition?.type !== 'string') throw notADraft(draft)
    const { definition } = draft
    const payload = encodedPayload(draft)
    return {
      id: randomUUID(),
      type: definition.type,
      version: definition.version,
      stream,
      expectedVersion: expectedVersion === null ? null : expectedVersion + BigInt(index),
      key,
      idempotencyKey: index === 0 ? (idempotencyKey ?? null) : null,
      payload: payload.json,
      payloadMeta: payload.meta,
      correlationId: options.correlationId ?? cause?.correlationId ?? null,
      causationId: options.causationId ?? cause?.causationId ?? null,
      traceparent,
      tracestate,
      metadata: metadataJson,
    }
  })
}

const texts = ['stream', 'key', 'idempotencyKey', 'correlationId', 'causationId'] as const

/** What the server would refuse is refused before it is sent: its error aborts a transaction that may not be ours. */
function requireTexts(options: PublishOptions): void {
  for (const option of texts) {
    const text = options[option]
    if (text !== undefined && text !== null) requireText('publish', option, text)
  }
  const { metadata } = options
  if (metadata === undefined || metadata === null || isPlainObject(metadata)) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    'publish: "metadata" must be an object of headers',
    { hint: 'For instance `metadata: { user: "u-1" }`.' },
  )
}

function isPlainObject(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

// What a bigint of Postgres holds.
const largestVersion = 2n ** 63n - 1n

function expectedVersionOf({ stream, expectedVersion }: PublishOptions): bigint | null {
  if (expectedVersion === undefined || expectedVersion === 'any') return null
  if (stream === undefined) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      'publish: "expectedVersion" needs a "stream"',
      {
        hint: 'Name the stream whose version you expect.',
      },
    )
  }
  if (expectedVersion === 'none') return 0n
  if (typeof expectedVersion === 'bigint' || Number.isSafeInteger(expectedVersion)) {
    const version = BigInt(expectedVersion)
    if (version >= 0n && version <= largestVersion) return version
  }
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `publish: "expectedVersion" must be a whole number, "none" or "any", not ${String(expectedVersion)}`,
    { details: { stream, expectedVersion } },
  )
}

function notADraft(value: unknown): TidemarkError {
  const hint =
    typeof value === 'function'
      ? 'Call the definition with a payload: `publish(accountOpened({ … }))`.'
      : 'Make it with a definition: `publish(accountOpened({ … }))`.'
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    'publish was given something that is not an event',
    { hint },
  )
}
