import { jetstream as client, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { defineIntake, defineRelay, jetstream } from '@tidemark/nats'
import { createTestDatabase } from '@tidemark/testing'
import { defineEvent, type App } from 'tidemark'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { natsMissing, NatsServer } from './nats-server.ts'

const missing = natsMissing()
if (missing !== null) console.log(`relays to JetStream are not tested: ${missing}`)

const quick = { leaseDuration: 2_000, acquireInterval: 50, handleSignals: false }
const everything = defineEvent('test.everything', {
  payload: z.object({
    amount: z.bigint(),
    at: z.date(),
    tags: z.set(z.string()),
    text: z.string(),
  }),
})

describe.skipIf(missing !== null)('a relay to JetStream', () => {
  const database = useFreshDatabase()
  let server: NatsServer
  let stream = 0

  beforeAll(async () => {
    server = await NatsServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())
  beforeEach(() => {
    stream += 1
  })

  const target = () => jetstream({ stream: `S${stream}`, connect: { servers: server.servers } })

  /** What the stream holds, by the sequence of the outbox and in its order. */
  async function held(): Promise<bigint[]> {
    const connection = await connect({ servers: server.servers })
    try {
      const manager = await jetstreamManager(connection)
      const { state } = await manager.streams.info(`S${stream}`)
      const sequences: bigint[] = []
      for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq++) {
        const message = await manager.streams.getMessage(`S${stream}`, { seq })
        if (message !== null) sequences.push(BigInt(message.header.get('ce-sequence')))
      }
      return sequences
    } finally {
      await connection.close()
    }
  }

  async function onStream<T>(
    work: (parts: {
      manager: Awaited<ReturnType<typeof jetstreamManager>>
      js: ReturnType<typeof client>
      name: string
    }) => Promise<T>,
  ): Promise<T> {
    const connection = await connect({ servers: server.servers })
    try {
      const manager = await jetstreamManager(connection)
      return await work({ manager, js: client(connection), name: `S${stream}` })
    } finally {
      await connection.close()
    }
  }

  async function errorOf(app: App, name: string): Promise<string | undefined> {
    const { partitions } = await app.listeners.get(name)
    return (partitions[0]?.lastError as { code?: string } | null | undefined)?.code
  }

  test('an event that is published in one service is handled in another, with everything that it says', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [
      everything,
      defineRelay('out', { to: target(), events: [everything] }),
    ])
    await using b = appOn(other, [
      defineIntake('in', { from: target(), events: [everything] }),
      recorder('there', {}, everything),
    ])
    await using _one = await a.start(quick)
    await using _two = await b.start(quick)
    const payload = {
      amount: 12n,
      at: new Date('2026-11-28T12:00:00.123Z'),
      tags: new Set(['a', 'ü "%"\n']),
      text: 'naïve ☃ %41',
    }
    const published = await a.publish(everything(payload), {
      stream: 'order-☃ 1',
      correlationId: 'corr % é',
      metadata: { who: 'ann' },
    })
    await expect.poll(() => effectsOf(other, 'there'), { timeout: 20_000 }).toHaveLength(1)
    const [event] = await Array.fromAsync(b.events({ types: [everything.type] }))
    expect(event?.payload).toEqual(payload)
    expect(event).toMatchObject({
      id: published.id,
      key: 'order-☃ 1',
      correlationId: 'corr % é',
      metadata: {
        who: 'ann',
        'tidemark.origin': { sequence: String(published.sequence), stream: 'order-☃ 1' },
      },
    })
  })

  test('a relay goes on from what the stream holds, not from its cursor', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 50)
    {
      await using _runner = await app.start(quick)
      await expect.poll(held, { timeout: 20_000 }).toHaveLength(50)
    }
    // As if the transaction that wrote the cursor had been lost: everything is read again.
    await database.query(`update tidemark.cursors set cursor = 0, state = null, epoch = epoch + 1`)
    await publishNotes(app, 10)
    await using _runner = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(60)
    const sequences = await held()
    expect(sequences).toEqual(sequences.toSorted((x, y) => (x < y ? -1 : 1)))
    expect(new Set(sequences).size).toBe(60)
  })

  test('a relay sends again what a broker has lost', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 20)
    {
      await using _runner = await app.start(quick)
      await expect.poll(held, { timeout: 20_000 }).toHaveLength(20)
      await cursorAt(app, 'out')
    }
    // Acknowledged and gone, as after a crash of a server that had not flushed: its tip is an earlier message.
    const before = await held()
    await onStream(async ({ manager, js, name }) => {
      const { config, state } = await manager.streams.info(name)
      const kept = []
      for (let seq = 1; seq <= 12; seq++) kept.push(await manager.streams.getMessage(name, { seq }))
      await manager.streams.delete(name)
      await manager.streams.add(config)
      for (const message of kept) {
        if (message === null) throw new Error('a message is missing')
        await js.publish(message.subject, message.data, { headers: message.header as never })
      }
      expect(state.last_seq).toBe(20)
    })
    await forgetWhenItWasMade()
    await using _runner = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toEqual(before)
  })

  test('a stream that was made anew stops the relay, and a reset sends it everything', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 5)
    await using runner = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(5)
    await cursorAt(app, 'out')
    await runner.stop()
    await onStream(async ({ manager, name }) => {
      await manager.streams.delete(name)
    })
    await publishNotes(app, 5)
    await using _again = await app.start(quick)
    await expect
      .poll(() => errorOf(app, 'out'), { timeout: 20_000 })
      .toBe('TIDEMARK_RELAY_STREAM_REPLACED')
    expect(await held()).toEqual([])
    await app.listeners.reset('out')
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(10)
  })

  test('somebody else’s message in the stream stops the relay', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 5)
    await using _runner = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(5)
    await onStream(({ js, name }) => js.publish(`${name.toLowerCase()}.x`, '{}').then(() => {}))
    await publishNotes(app, 1)
    await expect
      .poll(() => errorOf(app, 'out'), { timeout: 20_000 })
      .toBe('TIDEMARK_RELAY_STREAM_SHARED')
  })

  test('a broker that is away costs lag and nothing else', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [defineRelay('out', { to: target(), events: [noted] })])
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await using _one = await a.start(quick)
    await using _two = await b.start(quick)
    await publishNotes(a, 5)
    await expect.poll(() => notesOf(other, 'there'), { timeout: 20_000 }).toHaveLength(5)
    await server.kill()
    await publishNotes(a, 5)
    await expect
      .poll(() => errorOf(a, 'out'), { timeout: 20_000 })
      .toBe('TIDEMARK_BROKER_UNAVAILABLE')
    expect((await a.listeners.get('out')).status).toBe('active')
    await server.startAgain()
    await publishNotes(a, 5)
    await expect.poll(() => notesOf(other, 'there'), { timeout: 40_000 }).toHaveLength(15)
    const sequences = await held()
    expect(new Set(sequences).size).toBe(15)
  })

  test('a message that is missing from the stream stops the intake', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [defineRelay('out', { to: target(), events: [noted] })])
    await publishNotes(a, 6)
    await using _one = await a.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(6)
    await onStream(({ manager, name }) => manager.streams.deleteMessage(name, 3).then(() => {}))
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await using _two = await b.start(quick)
    await expect.poll(() => errorOf(b, 'in'), { timeout: 20_000 }).toBe('TIDEMARK_INTAKE_GAP')
  })

  test('a stream that is filled anew is taken once', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [defineRelay('out', { to: target(), events: [noted] })])
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await publishNotes(a, 6)
    await using one = await a.start(quick)
    await using _two = await b.start(quick)
    await expect.poll(() => notesOf(other, 'there'), { timeout: 20_000 }).toHaveLength(6)
    await one.stop()
    await onStream(({ manager, name }) => manager.streams.delete(name).then(() => {}))
    await a.listeners.reset('out')
    await publishNotes(a, 2)
    await using _again = await a.start(quick)
    await expect.poll(() => notesOf(other, 'there'), { timeout: 40_000 }).toHaveLength(8)
    expect(new Set(await notesOf(other, 'there')).size).toBe(8)
  })

  let notes = 0
  async function publishNotes(app: App, count: number): Promise<void> {
    const drafts = Array.from({ length: count }, () => noted({ note: `n${(notes += 1)}` }))
    await app.publish(drafts)
  }

  async function cursorAt(app: App, name: string): Promise<void> {
    const [last] = (
      await database.query<{ sequence: string }>(
        'select max(sequence) as sequence from tidemark.events',
      )
    ).rows
    await app.waitFor(name, BigInt(last?.sequence ?? 0) as never)
  }

  /** The stream counts as the one that the relay knows. */
  async function forgetWhenItWasMade(): Promise<void> {
    const created = await onStream(
      async ({ manager, name }) => (await manager.streams.info(name)).created,
    )
    await database.query(
      `update tidemark.cursors set state = jsonb_set(state, '{created}', to_jsonb($1::text)) where state is not null`,
      [created],
    )
  }
})
