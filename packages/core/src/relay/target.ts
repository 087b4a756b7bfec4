import type { EventSequence } from '../event/sequence.ts'
import type { OutgoingMessage } from './message.ts'

/** A stream of a broker that a relay is the only writer of. `@tidemark/nats` has one for JetStream. */
export interface RelayTarget {
  /** The name of the stream: another one is sent everything from the beginning. */
  readonly stream: string
  /**
   * Opens the stream for one lease.
   *
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE when it cannot be reached.
   */
  openForWriting(signal: AbortSignal): Promise<RelayStream>
  /**
   * What the stream holds last, for whoever only looks; the stream is made when there is none. For a broker where
   * opening a stream to write takes it from whoever has it open. Defaults to opening it.
   *
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE.
   */
  inspect?(signal: AbortSignal): Promise<StreamTip>
  /**
   * Of a stream that keeps only the last message of each subject, key or the like: which one that is. Not there: the stream
   * keeps every message.
   *
   * @throws TidemarkError TIDEMARK_RELAY_MESSAGE_REFUSED.
   */
  readonly slotOf?: ((message: OutgoingMessage) => string) | undefined
}

/** What a stream holds last, without taking it from the relay that writes to it. */
export async function tipOf(target: RelayTarget, signal: AbortSignal): Promise<StreamTip> {
  if (target.inspect !== undefined) return target.inspect(signal)
  const stream = await target.openForWriting(signal)
  try {
    return await stream.tip()
  } finally {
    await stream.close()
  }
}

/** What a stream holds last. */
export interface StreamTip {
  /** Tells a stream from one of the same name that was made later, for instance the time at which it was created. */
  readonly created: string
  /** The position of the last message that it was ever given; zero when it is new. */
  readonly position: bigint
  /**
   * What the last message says of itself: `'foreign'` when a relay did not send it, `'gone'` when it was deleted or has
   * expired; undefined when there never was one.
   */
  readonly last:
    | { readonly install: string; readonly sequence: EventSequence }
    | 'foreign'
    | 'gone'
    | undefined
  /**
   * The first position after those that were asked for at which a message stands that no relay sent, or that does not follow
   * the one before it. Not there: none does.
   */
  readonly broken?: bigint
}

/** An open stream. */
export interface RelayStream {
  /**
   * Looks at what the stream holds last, by asking whoever decides that, not a replica that may be behind.
   *
   * @param known - the last position that is known to be right. A broker that can take one message after it has refused the
   * one before looks at those between. Not there: nothing is known, and nothing looked at.
   */
  tip(known?: bigint): Promise<StreamTip>
  /**
   * Sends messages, in their order, without waiting for them to be stored.
   *
   * INVARIANT: fail-stop. The first must be stored directly after `position`, each other directly after the one before
   * it, or not at all: when one is refused, so are all that were sent after it; or else `tip` says that the stream is broken.
   */
  send(messages: readonly OutgoingMessage[], position: bigint): void
  /**
   * Waits until everything that was sent is stored.
   *
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE, TIDEMARK_RELAY_OUTRUN when somebody else has written to the
   * stream; whatever it throws, the stream is not used any more.
   */
  stored(signal: AbortSignal): Promise<void>
  close(): Promise<void>
}
