import { blameOf } from '../../errors/blame.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import type { StoredEvent } from '../../event/stored-event.ts'
import { readEventsAt } from '../../outbox/read/page.ts'
import { loadHeldKeys, loadRetries, parkRetry, type Retry } from '../failed/dead-letters.ts'
import { killed, losesConnection } from '../failed/failed-event.ts'
import { Losses } from '../failed/losses.ts'
import { markEventStarted, mostCrashes } from '../failed/started-mark.ts'
import type { Lease } from '../leased/lease.ts'
import { batchOf, type Handling } from '../read/consumer.ts'
import type { PartitionReader, ReaderEnvironment } from '../read/partition-reader.ts'

// How often in a row a connection is lost before the event is set aside once more: it was before, and others wait.
const mostLosses = 3

/** Tries again, in one listener partition, what was set aside, and knows the keys whose events wait. */
export class DeadLetterRetries {
  /** The keys whose later events are set aside too. */
  readonly heldKeys: Set<string> = new Set()
  readonly #lease: Lease
  readonly #environment: ReaderEnvironment
  readonly #handling: Handling
  readonly #reader: PartitionReader
  readonly #losses = new Losses()

  constructor(
    lease: Lease,
    environment: ReaderEnvironment,
    handling: Handling,
    reader: PartitionReader,
  ) {
    this.#lease = lease
    this.#environment = environment
    this.#handling = handling
    this.#reader = reader
  }

  /**
   * Before anything else, what an operator wants tried again: a held key's events are older than all others of it.
   *
   * @param exclusively - runs one retry while nothing else moves the cursor.
   */
  async run(
    drain: AbortSignal,
    kill: AbortSignal,
    exclusively: <T>(work: () => Promise<T>) => Promise<T>,
  ): Promise<void> {
    const { database, outbox } = this.#environment
    await this.#load()
    const failedKeys = new Set<string>()
    for (const retry of await loadRetries(database, outbox.schema, this.#lease)) {
      if (drain.aborted) return
      if (retry.holdsKey && failedKeys.has(retry.key as string)) continue
      const done = await exclusively(() => this.#retry(retry, kill))
      if (!done && retry.holdsKey) failedKeys.add(retry.key as string)
    }
    await this.#load()
  }

  async #load(): Promise<void> {
    const { database, outbox } = this.#environment
    const held = await loadHeldKeys(database, outbox.schema, this.#lease)
    this.heldKeys.clear()
    for (const key of held) this.heldKeys.add(key)
  }

  /** Answers false when the event is parked again, true otherwise. */
  async #retry(retry: Retry, kill: AbortSignal): Promise<boolean> {
    const { database, outbox, registry, logger } = this.#environment
    const lease = this.#lease
    let event: StoredEvent | undefined
    try {
      const [stored] = await readEventsAt(database, outbox.schema, [retry.sequence])
      if (stored === undefined) throw new Error('the event is no longer in the outbox')
      event = stored
      if (!this.#reader.isMine(stored)) return true
      if (lease.crashes > 0) {
        const crashes = await markEventStarted(database, outbox.schema, lease, stored)
        lease.failedSequence = null
        if (crashes >= mostCrashes) throw killed(lease, stored, crashes)
      }
      const events = [stored.decode(registry)]
      const settled = [retry.sequence]
      await this.#handling.handle(
        batchOf({ events, settled, through: lease.cursor, attempt: retry.attempts + 1 }),
        kill,
      )
      return true
    } catch (error) {
      // It stays to be tried again, by a process that can read it.
      const blame = blameOf(error)
      if (blame === 'reader') return false
      if (isTidemarkError(error, 'TIDEMARK_LEASE_LOST') || kill.aborted) throw error
      let reason = error
      if (blame !== 'work') {
        const losses =
          blame === 'connection' && event !== undefined ? this.#losses.note(retry.sequence) : 0
        // What waits behind it does not wait for ever for an event that ends the session.
        if (losses < mostLosses) throw error
        reason = losesConnection(lease.listener, { event: event as StoredEvent, error }, losses)
      }
      logger.warn(
        { listener: lease.listener, sequence: retry.sequence, err: reason },
        'a dead letter failed again',
      )
      await parkRetry(database, outbox.schema, lease, retry, reason)
      return false
    }
  }
}
