import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql'
import pg from 'pg'
import { flightArrived, type Flight } from './events.ts'

/** The published package of emmett, as a peer: an event store with a stream for each caller. */
export interface Emmett extends AsyncDisposable {
  /** Appends the events to the caller's stream in one call. */
  append(caller: number, payloads: readonly Flight[]): Promise<unknown>
  /** Runs a consumer from the beginning to the end of the store, calling the handler for each event. */
  consume(processor: string, handler: () => void): Promise<void>
}

/**
 * Makes its tables and opens its connections.
 *
 * @param connections - the most that its pool may open: as many as there are callers, so that none waits for one.
 */
export async function openEmmett(url: string, connections: number): Promise<Emmett> {
  const pool = new pg.Pool({ connectionString: url, max: connections })
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } })
  await store.schema.migrate()
  return {
    append: (caller, payloads) =>
      store.appendToStream(
        `caller-${caller}`,
        payloads.map((payload) => ({ type: flightArrived.type, data: { ...payload } })),
      ),
    consume: async (processorId, handler) => {
      const consumer = store.consumer({ stopWhen: { noMessagesLeft: true } })
      consumer.reactor({ processorId, startFrom: 'BEGINNING', eachMessage: () => handler() })
      await consumer.start()
      await consumer.close()
    },
    [Symbol.asyncDispose]: async () => {
      await store.close()
      await pool.end()
    },
  }
}
