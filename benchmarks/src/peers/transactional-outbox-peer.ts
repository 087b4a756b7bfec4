import { randomUUID } from 'node:crypto'
import pg from 'pg'
import {
  createReplicationMutexConcurrencyController,
  createReplicationSegmentMutexConcurrencyController,
  DatabaseSetup,
  DatabaseSetupExporter,
  getDisabledLogger,
  initializeMessageStorage,
  initializePollingMessageListener,
  initializeReplicationMessageListener,
  type GeneralMessageHandler,
  type ReplicationConcurrencyController,
} from 'pg-transactional-outbox'
import {
  connections,
  lease,
  publishing,
  sideBySide,
  versionOf,
  type Handle,
  type Peer,
  type Told,
} from './peer.ts'

const logger = getDisabledLogger()
const box = { outboxOrInbox: 'inbox', database: '', schema: 'public', table: 'inbox' } as const
const settings = {
  dbSchema: box.schema,
  dbTable: box.table,
  enableMaxAttemptsProtection: true,
  enablePoisonousMessageProtection: true,
}
const nextMessagesName = 'next_inbox_messages'
const publication = 'inbox_publication'

const handlerOf = (handle: Handle): GeneralMessageHandler => ({
  handle: ({ payload }, client) => handle(payload as Told, client),
})

const common: Pick<Peer, 'ordered' | 'version' | 'publisher'> = {
  ordered: true,
  version: versionOf('pg-transactional-outbox'),
  publisher: async (url, max) => {
    const store = initializeMessageStorage({ ...box, settings }, logger)
    return publishing(new pg.Pool({ connectionString: url, max }), (client, told) => {
      const segment = `key-${told.key}`
      const of = { aggregateType: 'key', aggregateId: segment, messageType: 'told', segment }
      // It is created when its row is, so that its order is that of the server's clock.
      return store(
        { id: randomUUID(), ...of, payload: told, createdAt: undefined as never },
        client,
      )
    })
  },
}

const polling: Peer = {
  ...common,
  name: 'pg-transactional-outbox, polling',
  settings: `an inbox, whose handler has its effect in the transaction of the message; a segment for each key; batches of ${sideBySide}, polled each 10 ms instead of 500; protected from poison; messages are locked for 5 s`,
  prepare: (url) =>
    running(url, (client) =>
      client.query(
        DatabaseSetupExporter.createPollingScript(
          { ...box, listenerRole: client.user ?? '', nextMessagesName },
          true,
        ),
      ),
    ),
  consume: async (url, { handle }) => {
    const [shutdown] = initializePollingMessageListener(
      {
        ...box,
        dbListenerConfig: { connectionString: url, max: connections } as pg.ClientConfig,
        settings: {
          ...settings,
          nextMessagesFunctionName: nextMessagesName,
          nextMessagesBatchSize: sideBySide,
          nextMessagesPollingIntervalInMs: 10,
        },
      },
      handlerOf(handle),
      logger,
    )
    return { [Symbol.asyncDispose]: shutdown }
  },
}

const replication = (
  name: string,
  how: string,
  controller: () => ReplicationConcurrencyController,
): Peer => ({
  ...common,
  name,
  settings: `the same from a logical replication slot, ${how}; a slot in use is tried for again after 0.5 s instead of 10, and the server ends who reads none of it for ${lease} s (\`wal_sender_timeout\`)`,
  prepare: (url) =>
    running(url, async (client) => {
      const setup = {
        ...box,
        listenerRole: client.user ?? '',
        publication,
        replicationSlot: slotOf(url),
      }
      await client.query(DatabaseSetup.dropAndCreateTable(setup))
      await client.query(DatabaseSetup.setupReplicationCore(setup))
      await client.query(DatabaseSetup.setupReplicationSlot(setup))
    }),
  remove: (url) =>
    running(url, (client) =>
      // Whoever read it may not be gone yet.
      client.query(
        `SELECT pg_terminate_backend(active_pid, 5000), pg_drop_replication_slot(slot_name)
           FROM pg_replication_slots WHERE slot_name = $1`,
        [slotOf(url)],
      ),
    ),
  consume: async (url, { handle }) => {
    const [shutdown] = initializeReplicationMessageListener(
      {
        ...box,
        dbListenerConfig: { connectionString: url, max: connections } as pg.ClientConfig,
        settings: {
          ...settings,
          dbPublication: publication,
          dbReplicationSlot: slotOf(url),
          restartDelaySlotInUseInMs: 500,
        },
      },
      handlerOf(handle),
      logger,
      { concurrencyStrategy: controller() },
    )
    return { [Symbol.asyncDispose]: shutdown }
  },
})

/** Both of its listeners; the second with two of its ways to keep an order. */
export const transactionalOutboxPeers: readonly Peer[] = [
  polling,
  replication(
    'pg-transactional-outbox, replication',
    'one message after the other, as is its default',
    createReplicationMutexConcurrencyController,
  ),
  replication(
    'pg-transactional-outbox, replication by segment',
    'one message of a segment after the other',
    createReplicationSegmentMutexConcurrencyController,
  ),
]

/** The names of slots are those of the whole server. */
const slotOf = (url: string): string => `slot_${new URL(url).pathname.replaceAll(/\W/gu, '_')}`

async function running(url: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
