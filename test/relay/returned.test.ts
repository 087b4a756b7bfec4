import { defineIntake, defineRelay, jetstream } from '@tidemark/nats'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import type { App } from 'tidemark'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { effectsTemplate } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { natsMissing, NatsServer } from './nats-server.ts'

const missing = natsMissing()
if (missing !== null) console.log(`events that come back are not tested: ${missing}`)

const quick = { leaseDuration: 2_000, acquireInterval: 50, handleSignals: false }

describe.skipIf(missing !== null)('events that come back to their publisher', () => {
  let server: NatsServer
  let rings = 0

  beforeAll(async () => {
    server = await NatsServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /**
   * Services of which each sends all events to the next, and the last to the first. `copied`: their databases are copies of
   * one, with one identity.
   */
  async function ring(size: number, copied: boolean) {
    rings += 1
    const of = (n: number) =>
      jetstream({ stream: `R${rings}_${n % size}`, connect: { servers: server.servers } })
    const parts = new AsyncDisposableStack()
    const services: { app: App; database: TestDatabase }[] = []
    for (let n = 0; n < size; n += 1) {
      const database = parts.use(await createTestDatabase({ template: effectsTemplate }))
      if (!copied) await database.query('update tidemark.installation set id = gen_random_uuid()')
      const app = parts.use(
        appOn(database, [
          defineRelay('out', { to: of(n + 1), events: [noted] }),
          defineIntake('in', { from: of(n) }),
          recorder('seen'),
        ]),
      )
      services.push({ app, database })
    }
    return { services, [Symbol.asyncDispose]: () => parts.disposeAsync() }
  }

  test.each([
    { size: 1, copied: false },
    { size: 2, copied: false },
    { size: 2, copied: true },
    { size: 3, copied: false },
  ])('in a ring of $size each handles each event once (copied: $copied)', async (given) => {
    const { size, copied } = given
    await using made = await ring(size, copied)
    const { services } = made
    for (const { app } of services) await app.start(quick)
    for (const [n, { app }] of services.entries()) {
      for (let i = 0; i < 5; i += 1) await app.publish(noted({ note: `${n}.${i}` }))
    }
    const all = services.flatMap((_, n) => [0, 1, 2, 3, 4].map((i) => `${n}.${i}`))
    for (const { database } of services) {
      await expect
        .poll(() => effectsOf(database, 'seen'), { timeout: 50_000 })
        .toHaveLength(all.length)
    }
    // What came back would be before this one, in each.
    await (services[0] as { app: App }).app.publish(noted({ note: 'last' }))
    for (const { database } of services) {
      await expect
        .poll(() => effectsOf(database, 'seen'), { timeout: 50_000 })
        .toHaveLength(all.length + 1)
      expect((await notesOf(database, 'seen')).toSorted()).toEqual([...all, 'last'].toSorted())
    }
  })
})
