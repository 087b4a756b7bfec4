import { setTimeout as delay } from 'node:timers/promises'
import {
  getPostgreSQLEventStore,
  postgreSQLEventStoreConsumer,
  postgreSQLProjection,
  type PostgreSQLEventStoreConsumer,
} from '@event-driven-io/emmett-postgresql'
import pg from 'pg'
import { versionOf, type Handle, type Peer } from './peer.ts'

type Event = { type: 'told'; data: { key: number; n: number; pause: number } }

// Shorter than a freeze; longer than an owner has nothing to do, which does not renew its lock.
const timeoutSeconds = 5

// An inline projection is what emmett has for work in the transaction of the append.
const pausing = postgreSQLProjection({
  name: 'pausing',
  canHandle: ['told'],
  handle: async (events) => {
    for (const { data } of events) await delay(Number(data['pause']))
  },
})

export const emmett: Peer = {
  name: 'emmett',
  version: versionOf('@event-driven-io/emmett-postgresql'),
  settings: `a reactor with its effects in the transaction of its checkpoint, batches of 100, pulled each 10 ms instead of 50; its lock times out after ${timeoutSeconds} s, where 300 s are the default; a consumer that has ended, or has not got the lock, is started again after 0.1 s`,
  ordered: true,
  prepare: async (url) => {
    const store = getPostgreSQLEventStore(url)
    await store.schema.migrate()
    await store.close()
  },
  publisher: async (url, max) => {
    const pool = new pg.Pool({ connectionString: url, max })
    const connectionOptions = { pool }
    const plain = getPostgreSQLEventStore(url, { connectionOptions })
    const slow = getPostgreSQLEventStore(url, {
      connectionOptions,
      projections: [{ type: 'inline', projection: pausing }],
    })
    return {
      publish: ({ key, n }, pause) =>
        (pause > 0 ? slow : plain).appendToStream<Event>(`key-${key}`, [
          { type: 'told', data: { key, n, pause } },
        ]),
      [Symbol.asyncDispose]: async () => {
        await Promise.all([plain.close(), slow.close()])
        await pool.end()
      },
    }
  },
  consume: async (connectionString, { handle }) => {
    let stopped = false
    let consumer = consumerOf(connectionString, handle)
    const running = (async () => {
      while (!stopped) {
        await consumer.start().catch(() => {})
        await consumer.close().catch(() => {})
        await delay(100)
        if (!stopped) consumer = consumerOf(connectionString, handle)
      }
    })()
    return {
      [Symbol.asyncDispose]: async () => {
        stopped = true
        await consumer.stop()
        await running
      },
    }
  },
}

function consumerOf(connectionString: string, handle: Handle): PostgreSQLEventStoreConsumer<Event> {
  const consumer = postgreSQLEventStoreConsumer<Event>({
    connectionString,
    pulling: { batchSize: 100, pullingFrequencyInMs: 10 },
  })
  consumer.reactor<Event>({
    processorId: 'effects',
    // A consumer that waits for the lock in its transaction would hold back all readers: it fails, and starts again.
    lock: { timeoutSeconds },
    eachMessage: ({ data }, { connection }) => handle(data, connection.client),
  })
  return consumer
}
