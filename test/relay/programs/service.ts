/** A process of one of two services: it relays what is published in one database, or takes it in in the other. */
import { kafka } from '@tidemark/kafka'
import { jetstream } from '@tidemark/nats'
import { defineApp, defineIntake, defineListener, defineRelay } from 'tidemark'
import { keyed } from '../keyed-event.ts'

/** What a service is told. */
export interface ServiceOptions {
  readonly url: string
  /** Whose. Defaults to `'nats'`. */
  readonly broker?: 'nats' | 'kafka'
  readonly servers: string | string[]
  readonly stream: string
  readonly role: 'relay' | 'intake'
  readonly leaseDuration: number
  /** How long the broker remembers ids of messages, in milliseconds. */
  readonly window: number
  /** How many servers hold the stream. Defaults to 1. */
  readonly replicas?: number
}

const options = JSON.parse(process.argv[2] ?? '{}') as ServiceOptions
// A test that is given up cannot end its processes: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

const jet = jetstream({
  stream: options.stream,
  connect: { servers: options.servers, timeout: 2_000 },
  create: {
    duplicate_window: options.window * 1_000_000,
    num_replicas: options.replicas ?? 1,
  },
})
const topic = kafka({
  topic: options.stream,
  brokers: [options.servers].flat(),
  create: { partitions: 3 },
})
const stream = options.broker === 'kafka' ? topic : jet
const modules =
  options.role === 'relay'
    ? [defineRelay('out', { to: stream, events: [keyed], batchSize: 200 })]
    : [
        defineIntake('in', { from: stream, batchSize: 200 }),
        defineListener('there').on(keyed, ({ sequence }, { send }) => {
          send(`insert into effects (listener, sequence) values ('there', $1)`, [sequence])
        }),
      ]
const app = defineApp({
  connectionString: options.url,
  modules,
  logger: { debug() {}, info() {}, warn() {}, error() {} },
})
await app.start({
  leaseDuration: options.leaseDuration,
  acquireInterval: 100,
  handleSignals: false,
})
process.send?.('started')
