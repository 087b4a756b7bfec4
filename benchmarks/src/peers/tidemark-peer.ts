import { setTimeout as delay } from 'node:timers/promises'
import { defineApp, defineEvent, defineListener, silentLogger } from 'tidemark'
import { z } from 'zod'
import { takeEffect, type Peer } from './peer.ts'

const told = defineEvent('peers.told', { payload: z.object({ key: z.int(), n: z.int() }) })
const effects = defineListener('effects').on(told, ({ payload }, { tx }) =>
  takeEffect({ query: tx.query.bind(tx) } as Parameters<typeof takeEffect>[0], payload),
)

export const tidemark: Peer = {
  name: 'Tidemark',
  settings:
    'a listener with its effect in the transaction; leases of 2 s, where 15 s are the default',
  // The test database has its tables.
  prepare: async () => {},
  publisher: async (connectionString, maxConnections) => {
    const app = defineApp({ modules: [told], connectionString, maxConnections })
    return {
      publish: (event, pause) =>
        pause === 0
          ? app.transaction(async (tx) => tx.publish(told(event)))
          : app.transaction(async ({ query }) => {
              await query(`SELECT tidemark.publish('peers.told', $1::jsonb)`, [
                JSON.stringify(event),
              ])
              await delay(pause)
            }),
      [Symbol.asyncDispose]: () => app.close(),
    }
  },
  consume: async (connectionString) => {
    const app = defineApp({
      modules: [told, effects],
      connectionString,
      logger: silentLogger,
    })
    await app.start({ handleSignals: false, leaseDuration: 2_000 })
    return app
  },
}
