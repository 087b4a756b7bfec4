import type { RelayedMessage } from './message.ts'

/** Where an intake begins to read, or goes on. */
export interface IntakePosition {
  /** The stream as it was when it was read last; undefined: it never was. */
  readonly created: string | undefined
  /** The position of the last message that was taken; zero: none. */
  readonly position: bigint
  /** What the feed said of its place after that message; undefined: nothing. */
  readonly place?: string | undefined
}

/** What a stream gave. */
export interface TakenMessage {
  /** Its position in the stream. */
  readonly position: bigint
  /** Undefined when no relay sent it; an error when it cannot be read. */
  readonly message: RelayedMessage | Error | undefined
  /** Nothing came after it when it was read. */
  readonly last?: boolean
}

/** A stream of a broker that events are taken from. */
export interface IntakeSource {
  readonly stream: string
  /**
   * Opens the stream after a position. A stream that is another than the one that was read (it was made anew) is read
   * from its beginning: an intake knows what it has taken by the sequences of the outbox that they come from.
   *
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE.
   */
  openForReading(from: IntakePosition, signal: AbortSignal): Promise<IntakeFeed>
}

/** An open stream that is read in its order. */
export interface IntakeFeed {
  readonly created: string
  /**
   * `'last'`: of each subject, key or the like the stream keeps only the last message, so it has gaps by intent. Defaults to
   * `'all'`.
   */
  readonly keep?: 'all' | 'last'
  /** The stream held nothing when it was opened. */
  readonly empty?: boolean
  /**
   * The next messages: at least one, and as many more as are there, up to a limit.
   *
   * @returns an empty list only when the signal aborts.
   * @throws TidemarkError TIDEMARK_BROKER_UNAVAILABLE.
   */
  next(limit: number, signal: AbortSignal): Promise<readonly TakenMessage[]>
  /**
   * What it needs beside the position to go on after the last message that `next` gave, for a broker that does not count
   * through a whole stream (the offsets of partitions). It is kept with the position.
   */
  place?(): string
  close(): Promise<void>
}
