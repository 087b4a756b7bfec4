import { jetstreamManager, type StreamConfig } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { defineIntake, defineRelay, jetstream, type JetStreamOptions } from '@tidemark/nats'
import { createTestDatabase } from '@tidemark/testing'
import { defineEvent, defineListener, type App } from 'tidemark'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { natsMissing, NatsServer } from './nats-server.ts'

const missing = natsMissing()
if (missing !== null) console.log(`streams of last values are not tested: ${missing}`)

const quick = { leaseDuration: 2_000, acquireInterval: 50, handleSignals: false }
const priced = defineEvent('prices.set', {
  payload: z.object({ item: z.string(), price: z.int() }),
})

describe.skipIf(missing !== null)(
  'a stream of JetStream that keeps the last of each subject',
  () => {
    const database = useFreshDatabase()
    let server: NatsServer
    let connection: NatsConnection
    let stream = 0

    beforeAll(async () => {
      server = await NatsServer.start()
    })
    afterAll(() => server[Symbol.asyncDispose]())
    beforeEach(async () => {
      stream += 1
      connection = await connect({ servers: server.servers })
      return () => connection.close()
    })

    const target = (options: Partial<JetStreamOptions> = {}) =>
      jetstream({
        stream: `L${stream}`,
        connect: { servers: server.servers },
        keep: 'last',
        ...options,
      })
    const set = async (app: App, from: number, to: number, items: readonly string[]) => {
      const numbers = Array.from({ length: to - from }, (_, n) => from + n)
      await app.transaction(async (tx) => {
        for (const price of numbers) {
          const item = items[price % items.length] as string
          tx.publish(priced({ item, price }), { key: item })
        }
      })
    }
    const kept = async (): Promise<number> => {
      const manager = await jetstreamManager(connection)
      const info = await manager.streams.info(`L${stream}`).catch(() => undefined)
      return info?.state.last_seq ?? 0
    }

    test('a service that comes late takes the present values, and then each change in order', async () => {
      // Whatever a key is, it is a subject of its own.
      const items = ['a', 'a.b', '*', '>', 'ü b', '%2A', 'A']
      await using other = await createTestDatabase()
      await using a = appOn(database, [defineRelay('out', { to: target(), events: [priced] })])
      const runner = await a.start(quick)
      for (let n = 0; n < 10; n += 1) await set(a, n * 70, n * 70 + 70, items)
      await expect.poll(kept, { timeout: 30_000 }).toBe(700)

      const seen: { item: string; price: number }[] = []
      const listen = defineListener('seen').on(priced, ({ payload }) => void seen.push(payload))
      await using b = appOn(other, [
        defineIntake('in', { from: target(), events: [priced] }),
        listen,
      ])
      await b.start(quick)
      await expect.poll(() => seen.length, { timeout: 30_000 }).toBe(items.length)
      expect(seen).toEqual(items.map((item, n) => ({ item, price: 693 + n })))
      expect(await a.relays.verify('out')).toMatchObject({ messages: 7, difference: null })

      // Another process goes on from what the stream holds.
      await runner.stop()
      await set(a, 700, 714, items)
      await a.start(quick)
      await expect.poll(() => seen.at(-1)?.price, { timeout: 30_000 }).toBe(713)
      for (const item of items) {
        const of = seen.filter((one) => one.item === item).map(({ price }) => price)
        expect(of).toEqual(of.toSorted((one, two) => one - two))
      }
      expect(await a.relays.verify('out')).toMatchObject({ messages: 7, difference: null })
    })

    test('verify finds a last value that was deleted, and misses none that was replaced meanwhile', async () => {
      await using a = appOn(database, [defineRelay('out', { to: target(), events: [priced] })])
      await a.start(quick)
      await set(a, 0, 3_000, ['a', 'b', 'c', 'd'])
      await expect.poll(kept, { timeout: 30_000 }).toBe(3_000)
      // What is verified changes all the time.
      let published = 3_000
      const changing = (async () => {
        while (published < 5_000) {
          await set(a, published, published + 20, ['a', 'b', 'c', 'd'])
          published += 20
        }
      })()
      for (let n = 0; n < 5; n += 1) {
        expect((await a.relays.verify('out')).difference).toBeNull()
      }
      await changing
      await expect.poll(kept, { timeout: 30_000 }).toBe(published)
      const manager = await jetstreamManager(connection)
      await manager.streams.deleteMessage(`L${stream}`, published - 1)
      expect((await a.relays.verify('out')).difference).toMatchObject({ kind: 'missing' })
    })

    test.each<[string, Partial<StreamConfig>, 'all' | 'last']>([
      ['a queue', { retention: 'workqueue' }, 'all'],
      ['a stream by interest', { retention: 'interest' }, 'all'],
      ['a stream with a limit for each subject', { max_msgs_per_subject: 3 }, 'all'],
      ['a stream that acknowledges nothing', { no_ack: true }, 'all'],
      ['a stream of last values that keeps all', {}, 'last'],
      ['a stream of last values that keeps two', { max_msgs_per_subject: 2 }, 'last'],
    ])('%s is refused', async (_, config, keep) => {
      const to = target({ keep, create: config })
      await using app = appOn(database, [defineRelay('out', { to, events: [priced] })])
      const manager = await jetstreamManager(connection)
      await manager.streams.add({ name: `L${stream}`, subjects: [`l${stream}.>`], ...config })
      await expect(app.relays.setUp('out')).rejects.toMatchObject({
        code: 'TIDEMARK_RELAY_STREAM_UNFIT',
      })
      await set(app, 0, 1, ['a'])
      await app.start(quick)
      await expect
        .poll(async () => (await app.listeners.get('out')).partitions[0], { timeout: 30_000 })
        .toMatchObject({ lastError: { code: 'TIDEMARK_RELAY_STREAM_UNFIT' } })
    })
  },
)
