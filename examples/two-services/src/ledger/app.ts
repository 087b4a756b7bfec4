import { defineIntake, defineRelay, jetstream } from '@tidemark/nats'
import { defineApp, type App } from 'tidemark'
import type { Addresses } from '../addresses.ts'
import { bookings } from './bookings.ts'
import { transferRefused, transferSent } from './events.ts'

/** The ledger: it reads the stream BANK and writes the stream LEDGER. */
export function ledger({ database, nats }: Addresses): App {
  const connect = { servers: nats }
  return defineApp({
    connectionString: database,
    modules: [
      defineIntake('from-bank', {
        from: jetstream({ stream: 'BANK', connect }),
        events: [transferSent],
      }),
      bookings,
      defineRelay('to-bank', {
        to: jetstream({ stream: 'LEDGER', connect }),
        events: [transferRefused],
      }),
    ],
  })
}
