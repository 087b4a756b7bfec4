import { defineIntake, defineRelay, jetstream } from '@tidemark/nats'
import { defineApp, type App } from 'tidemark'
import type { Addresses } from '../addresses.ts'
import { transferRefused, transferSent } from './events.ts'
import { refunds } from './refunds.ts'

/** The bank: it writes the stream BANK and reads the stream LEDGER. */
export function bank({ database, nats }: Addresses): App {
  const connect = { servers: nats }
  return defineApp({
    connectionString: database,
    modules: [
      defineRelay('to-ledger', {
        to: jetstream({ stream: 'BANK', connect }),
        events: [transferSent],
      }),
      defineIntake('from-ledger', {
        from: jetstream({ stream: 'LEDGER', connect }),
        events: [transferRefused],
      }),
      refunds,
    ],
  })
}
