import { isDeepStrictEqual } from 'node:util'
import type { Database } from '../database/pool.ts'
import { isTidemarkError, TidemarkError } from '../errors/tidemark-error.ts'
import type { EventRegistry } from '../event/registry.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import { readPage } from '../outbox/read/page.ts'
import type { Relay } from './define-relay.ts'
import { readInstall } from './install.ts'
import { withPayload } from './large-payloads.ts'
import { messageOf, type OutgoingMessage, type RelayedMessage } from './message.ts'
import { Overtaken } from './overtaken.ts'
import { readLeftOut } from './relay-handling.ts'
import type { IntakeFeed, IntakeSource, TakenMessage } from './source.ts'
import { tipOf } from './target.ts'

/** Where a stream first says something else than the outbox. */
export interface RelayDifference {
  /**
   * - `'missing'`: an event is not in the stream.
   * - `'doubled'`: a message comes again, or after a later one.
   * - `'altered'`: a message does not say what its event says.
   * - `'foreign'`: a message is not of this outbox, or of no event that it has.
   */
  readonly kind: 'missing' | 'doubled' | 'altered' | 'foreign'
  /** The sequence of the event, where one is known. */
  readonly sequence: EventSequence | null
  /** The position in the stream: of the message, or of the one in whose place another was expected. */
  readonly position: bigint | null
  /** What differs, for people. */
  readonly what: string
}

/** What a comparison of a stream with the outbox has found. */
export interface RelayVerification {
  readonly relay: string
  readonly stream: string
  /** How many messages were compared. */
  readonly messages: number
  /** The first event that the stream still holds, and the last that it was compared with; zero when it is empty. */
  readonly from: EventSequence
  readonly through: EventSequence
  /** Null: there is none. */
  readonly difference: RelayDifference | null
}

/** How a stream is compared. */
export interface VerifyOptions {
  /** Called now and then with how many messages were compared. */
  readonly onProgress?: (messages: number) => void
  /** Gives it up. */
  readonly signal?: AbortSignal
}

interface Verifying {
  readonly database: Database
  readonly schema: string
  readonly registry: EventRegistry
}

const batch = 1_000

/**
 * Compares what the stream of a relay holds with the outbox, message by message, from the first that it still has to the
 * last that it had when the comparison began. Of a stream that keeps only the last message of each subject it is read to
 * its end, and an event that is not there must have been replaced by a later one that is.
 *
 * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE; TIDEMARK_INVALID_OPTION when the stream cannot be read.
 */
export async function verifyRelay(
  { database, schema, registry }: Verifying,
  relay: Relay,
  { onProgress, signal = new AbortController().signal }: VerifyOptions = {},
): Promise<RelayVerification> {
  const source = readable(relay)
  // Before the stream is looked at: what is known to be stored by then must be there.
  const stored = await readStored(database, schema, relay)
  const { position: end, last } = await tipOf(relay.target, signal)
  const held = typeof last === 'object' ? last.sequence : sequenceZero
  const through = held > stored ? held : stored
  const base = { relay: relay.name, stream: relay.target.stream }
  if (end === 0n) return { ...base, messages: 0, from: sequenceZero, through, difference: null }
  const feed = await source.openForReading({ created: undefined, position: 0n }, signal)
  try {
    const install = await readInstall(database, schema)
    const expected = expectedMessages({ database, schema, registry }, relay, install, through)
    const { slotOf } = relay.target
    const overtaken = slotOf === undefined ? undefined : new Overtaken(slotOf)
    const further = async (): Promise<bigint> => (await tipOf(relay.target, signal)).position
    let messages = 0
    let from = sequenceZero
    let before = sequenceZero
    // What has expired is not missing, and an empty stream is one in which everything has.
    if (feed.empty === true) return { ...base, messages, from, through, difference: null }
    for await (const taken of messagesUpTo(feed, end, signal, overtaken && further)) {
      const { message, position } = taken
      const found = typeof message === 'object' && !(message instanceof Error) ? message : undefined
      if (found === undefined || found.install !== install) {
        return { ...base, messages, from, through, difference: foreign(taken) }
      }
      if (found.sequence <= before) {
        const what = `event ${found.sequence} comes after event ${before}`
        const difference = { kind: 'doubled', sequence: found.sequence, position, what } as const
        return { ...base, messages, from, through, difference }
      }
      // What has expired is not missing.
      const first = messages === 0 ? found.sequence : sequenceZero
      let event = await expected.next(first, found.sequence)
      for (; overtaken && event && event.sequence < found.sequence;) {
        overtaken.lacks(event)
        event = await expected.next(sequenceZero, found.sequence)
      }
      const difference = await compareWhole(relay, event, found, position, signal)
      if (difference !== null) return { ...base, messages, from, through, difference }
      if (event !== undefined) overtaken?.has(event)
      if (messages === 0) from = found.sequence
      before = found.sequence
      messages += 1
      if (messages % batch === 0) onProgress?.(messages)
    }
    let rest = await expected.next(sequenceZero)
    for (; overtaken && rest; rest = await expected.next(sequenceZero)) overtaken.lacks(rest)
    const missing = overtaken ? overtaken.firstMissing(through) : rest?.sequence
    return { ...base, messages, from, through, difference: missingAtEnd(missing, before) }
  } finally {
    await feed.close()
  }
}

function readable({ name, target }: Relay): IntakeSource {
  if ('openForReading' in target) return target as unknown as IntakeSource
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${name}: the stream ${target.stream} cannot be read back, so it cannot be verified`,
  )
}

/**
 * The messages of a stream up to a position, or, where it is asked how far the stream goes by then, until it goes no further:
 * the message that was last can have been replaced by a later one.
 */
async function* messagesUpTo(
  feed: IntakeFeed,
  end: bigint,
  signal: AbortSignal,
  further?: () => Promise<bigint>,
): AsyncGenerator<TakenMessage> {
  for (let upTo = end; ;) {
    const messages = await feed.next(batch, signal)
    signal.throwIfAborted()
    for (const message of messages) {
      const { position, last } = message
      if (further === undefined && position > upTo) return
      yield message
      if (position < upTo && last !== true) continue
      const known = upTo
      upTo = (await further?.()) ?? known
      if (position >= upTo || upTo === known) return
    }
  }
}

/** The last event that the relay knows to be stored in this stream. */
async function readStored(
  database: Database,
  schema: string,
  { name, target }: Relay,
): Promise<EventSequence> {
  const { rows } = await database.query(
    `SELECT state ->> 'sequence' AS sequence FROM "${schema}".cursors
     WHERE listener = $1::text AND state ->> 'stream' = $2::text`,
    [name, target.stream],
  )
  return BigInt((rows[0]?.['sequence'] as string | undefined) ?? 0) as EventSequence
}

function missingAtEnd(
  sequence: EventSequence | undefined,
  before: EventSequence,
): RelayDifference | null {
  if (sequence === undefined) return null
  const what =
    sequence > before
      ? `event ${sequence} is not after event ${before}, with which the stream ends`
      : `event ${sequence} is not there, and no later one has replaced it`
  return { kind: 'missing', sequence, position: null, what }
}

/** What the relay has sent, or would send, of the outbox, in its order: up to there, or as far as is asked for. */
function expectedMessages(
  { database, schema, registry }: Verifying,
  relay: Relay,
  install: string,
  through: EventSequence,
): { next(atLeast: EventSequence, upTo?: EventSequence): Promise<OutgoingMessage | undefined> } {
  const types = [...relay.types]
  let after = sequenceZero
  let leftOut: ReadonlySet<EventSequence> | undefined
  let page: OutgoingMessage[] = []
  return {
    async next(atLeast, asked = through) {
      const upTo = asked > through ? asked : through
      leftOut ??= await readLeftOut(database, schema, relay.name)
      if (atLeast > after) after = (atLeast - 1n) as EventSequence
      while (page.length === 0 && after < upTo) {
        const read = await readPage(database, schema, { after, upTo, limit: batch, types })
        page = read.events
          .filter(({ sequence }) => !leftOut?.has(sequence))
          .map((event) => messageOf(event.decode(registry), registry, install, sequenceZero))
        after = read.full ? (read.events.at(-1)?.sequence ?? upTo) : upTo
      }
      return page.shift()
    },
  }
}

/** Compares also what is in an object store. */
async function compareWhole(
  { largePayloads }: Relay,
  event: RelayedMessage | undefined,
  message: RelayedMessage,
  position: bigint,
  signal: AbortSignal,
): Promise<RelayDifference | null> {
  try {
    return compare(event, await withPayload(message, largePayloads, signal), position)
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_RELAY_MESSAGE_INVALID')) throw error
    return { kind: 'altered', sequence: message.sequence, position, what: error.message }
  }
}

function compare(
  event: RelayedMessage | undefined,
  message: RelayedMessage,
  position: bigint,
): RelayDifference | null {
  const { sequence } = message
  if (event === undefined || event.sequence > sequence) {
    return {
      kind: 'foreign',
      sequence,
      position,
      what: `the outbox has no event ${sequence} that this relay would send`,
    }
  }
  if (event.sequence < sequence) {
    return {
      kind: 'missing',
      sequence: event.sequence,
      position,
      what: `event ${event.sequence} is not before event ${sequence}`,
    }
  }
  const what = differingField(event, message)
  return what === undefined ? null : { kind: 'altered', sequence, position, what }
}

const texts = ['id', 'type', 'stream', 'key', 'correlationId', 'causationId'] as const
const jsons = ['payload', 'payloadMeta', 'metadata'] as const

/** The first part of a message that is not as its event has it. */
function differingField(event: RelayedMessage, message: RelayedMessage): string | undefined {
  const text = texts.find((name) => event[name] !== message[name])
  if (text !== undefined) return `its ${text} is ${show(message[text])}, not ${show(event[text])}`
  // An event that was upcast since it was sent says something else by intent.
  const compared = event.version === message.version ? jsons : (['metadata'] as const)
  const json = compared.find(
    (name) => !isDeepStrictEqual(parsed(event[name]), parsed(message[name])),
  )
  return json === undefined ? undefined : `its ${json} is another`
}

function parsed(json: string | null): unknown {
  return json === null ? null : (JSON.parse(json) as unknown)
}

function show(value: string | null): string {
  return JSON.stringify(value)?.slice(0, 80)
}

function foreign({ position, message }: TakenMessage): RelayDifference {
  const what =
    message instanceof Error
      ? message.message
      : message === undefined
        ? 'no relay has sent it'
        : `it comes from the outbox ${message.install}`
  return { kind: message instanceof Error ? 'altered' : 'foreign', sequence: null, position, what }
}
