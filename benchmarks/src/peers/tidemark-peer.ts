import { setTimeout as delay } from 'node:timers/promises'
import {
  defineApp,
  defineEvent,
  defineJob,
  defineListener,
  silentLogger,
  type App,
  type Transaction,
} from 'tidemark'
import { z } from 'zod'
import { connections, lease, sideBySide, type Handle, type Peer, type Told } from './peer.ts'

const schema = z.object({ key: z.int(), n: z.int() })
const told = defineEvent('peers.told', { payload: schema })

const listener = (handle: Handle) =>
  defineListener('effects').on(told, ({ payload }, { tx }) => handle(payload, tx))
const job = (handle: Handle) =>
  defineJob('effects', { input: schema, transact: ({ input }, { tx }) => handle(input, tx) })
const nothing: Handle = async () => {}

interface Kind {
  readonly name: string
  readonly settings: string
  readonly ordered: boolean
  readonly app: (url: string, connections: number, handle: Handle) => App
  /** Publishes as programs do. */
  readonly publish: (tx: Transaction, event: Told) => unknown
  /** Does so at once, while `publish` leaves it to the end of the transaction: to wait after it. */
  readonly insert: string
}

function tidemark({ name, settings, ordered, app: appOf, publish, insert }: Kind): Peer {
  return {
    name,
    settings: `${settings}; leases of ${lease} s, where 10 s are the default`,
    ordered,
    // The test database has its tables.
    prepare: async () => {},
    publisher: async (url, max) => {
      const app = appOf(url, Math.max(max, 4), nothing)
      return {
        publish: (event, pause) =>
          app.transaction(async (tx) => {
            if (pause === 0) return void publish(tx, event)
            await tx.query(insert, [JSON.stringify(event)])
            await delay(pause)
          }),
        [Symbol.asyncDispose]: () => app.close(),
      }
    },
    consume: async (url, { handle }) => {
      const app = appOf(url, connections, handle)
      await app.start({
        handleSignals: false,
        leaseDuration: lease * 1000,
        jobs: { concurrency: sideBySide, connections },
      })
      return app
    },
  }
}

const options = (connectionString: string, maxConnections: number) => ({
  connectionString,
  maxConnections,
  logger: silentLogger,
})

export const tidemarkListener: Peer = tidemark({
  name: 'Tidemark, listener',
  settings: 'effects in the transaction of the cursor, in batches',
  ordered: true,
  app: (url, max, handle) => defineApp({ modules: [told, listener(handle)], ...options(url, max) }),
  publish: (tx, event) => tx.publish(told(event)),
  insert: `SELECT tidemark.publish('peers.told', $1::jsonb)`,
})

export const tidemarkJobs: Peer = tidemark({
  name: 'Tidemark, jobs',
  settings: `\`transact\`: the effect in the commit of the job; ${sideBySide} side by side`,
  ordered: false,
  app: (url, max, handle) => defineApp({ modules: [job(handle)], ...options(url, max) }),
  publish: (tx, event) => tx.spawn('effects', event),
  insert: `SELECT tidemark.spawn('effects', $1::jsonb)`,
})
