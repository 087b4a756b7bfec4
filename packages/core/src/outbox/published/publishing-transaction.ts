import type { Database } from '../../database/pool.ts'
import {
  brief,
  inTransaction,
  type BeginOptions,
  type OpenTransaction,
} from '../../database/transaction/transaction.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { Inserted, Outbox } from './outbox.ts'
import type { OutgoingEvent, PublishedEvent } from './outgoing-event.ts'

/** What a transaction that committed has published. */
export interface Published {
  readonly events: readonly PublishedEvent[]
  /** The sequence of the last event, to wait for; null when nothing was published. */
  readonly sequence: EventSequence | null
}

const limitSilence = `SET LOCAL idle_in_transaction_session_timeout = ${brief.idleTimeout}`

/**
 * Runs `work` in a transaction and inserts what it put into `buffer` just before COMMIT: between drawing a
 * sequence and committing, a publisher holds every reader back.
 */
export async function publishingTransaction<T>(
  database: Database,
  outbox: Outbox,
  options: BeginOptions,
  work: (transaction: OpenTransaction, buffer: OutgoingEvent[]) => Promise<T>,
): Promise<readonly [T, Published]> {
  const buffer: OutgoingEvent[] = []
  let inserted: Inserted | undefined
  const [result, pipelined] = await inTransaction(
    database,
    options,
    async (transaction) => {
      const value = await work(transaction, buffer)
      if (!outbox.isPlain(buffer)) {
        // From here on it holds streams, keys and readers: no longer than a process is silent that is well.
        transaction.send(limitSilence)
        inserted = await outbox.insertEarly(transaction, buffer)
      }
      return value
    },
    async (transaction) => {
      if (inserted === undefined) return outbox.insert(transaction, buffer)
      await inserted.applied
      return inserted.events
    },
  )
  const events = pipelined ?? []
  return [result, { events, sequence: events.at(-1)?.sequence ?? null }]
}
