import { randomUUID } from 'node:crypto'
import { jetstream as client, jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { defineIntake, defineRelay, jetstream } from '@tidemark/nats'
import { createTestDatabase } from '@tidemark/testing'
import { defineEvent, toEventSequence, withRequest, type App, type OutgoingMessage } from 'tidemark'
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
    await a.start(quick)
    await b.start(quick)
    const payload = {
      amount: 12n,
      at: new Date('2026-11-28T12:00:00.123Z'),
      tags: new Set(['a', 'ü "%"\n']),
      text: 'naïve ☃ %41',
    }
    const trace = {
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      tracestate: 'vendor=1',
    }
    const published = await withRequest(trace, () =>
      a.publish(everything(payload), {
        stream: 'order-☃ 1',
        correlationId: 'corr % é',
        metadata: { who: 'ann' },
      }),
    )
    await expect.poll(() => effectsOf(other, 'there'), { timeout: 20_000 }).toHaveLength(1)
    const [event] = await Array.fromAsync(b.events({ types: [everything.type] }))
    expect(event?.payload).toEqual(payload)
    expect(event).toMatchObject({
      id: published.id,
      key: 'order-☃ 1',
      correlationId: 'corr % é',
      ...trace,
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
    const first = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(50)
    await first.stop()
    // As if the transaction that wrote the cursor had been lost: everything is read again.
    await database.query(`update tidemark.cursors set cursor = 0, state = null, epoch = epoch + 1`)
    await publishNotes(app, 10)
    await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(60)
    const sequences = await held()
    expect(sequences).toEqual(sequences.toSorted((x, y) => (x < y ? -1 : 1)))
    expect(new Set(sequences).size).toBe(60)
  })

  test('a relay sends again what a broker has lost', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 20)
    const first = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(20)
    await cursorAt(app, 'out')
    await first.stop()
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
        await js.publish(message.subject, message.data, { headers: message.header })
      }
      expect(state.last_seq).toBe(20)
    })
    await forgetWhenItWasMade()
    await app.start(quick)
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
    await app.start(quick)
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
    await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(5)
    await onStream(({ js, name }) => js.publish(`${name.toLowerCase()}.x`, '{}'))
    await publishNotes(app, 1)
    await expect
      .poll(() => errorOf(app, 'out'), { timeout: 20_000 })
      .toBe('TIDEMARK_RELAY_STREAM_SHARED')
  })

  test('whoever goes on from an older tip adds nothing, however much it has sent', async () => {
    const signal = AbortSignal.timeout(20_000)
    const owner = await target().openForWriting(signal)
    const zombie = await target().openForWriting(signal)
    try {
      expect(await owner.tip()).toEqual(await zombie.tip())
      owner.send([outgoing(1n), outgoing(2n)], 0n)
      await owner.stored(signal)
      // The same events, from before the owner's: they are there already, and what follows them continues the chain.
      zombie.send([outgoing(1n), outgoing(2n), outgoing(3n)], 0n)
      await refusal(zombie.stored(signal))
      expect(await held()).toEqual([1n, 2n, 3n])
      // So the owner is behind now, and is refused in its turn: it looks again, and does not send twice.
      owner.send([outgoing(3n), outgoing(4n)], 2n)
      await refusal(owner.stored(signal))
      // Other events, from another look: none of them comes in.
      zombie.send([outgoing(11n), outgoing(12n), outgoing(13n)], 1n)
      await refusal(zombie.stored(signal))
    } finally {
      await owner.close()
      await zombie.close()
    }
    expect(await held()).toEqual([1n, 2n, 3n, 4n])
  })

  test('one message of somebody else in the middle of what is sent stops the relay', async () => {
    const signal = AbortSignal.timeout(20_000)
    const owner = await target().openForWriting(signal)
    try {
      await owner.tip()
      owner.send([outgoing(1n)], 0n)
      await owner.stored(signal)
      await onStream(({ js, name }) => js.publish(`${name.toLowerCase()}.x`, '{}'))
      // The place of the first is taken, and that of the others is as they expect it.
      owner.send([outgoing(2n), outgoing(3n), outgoing(4n)], 1n)
      await refusal(owner.stored(signal))
    } finally {
      await owner.close()
    }
    const successor = await target().openForWriting(signal)
    try {
      expect(await successor.tip(1n)).toMatchObject({ position: 4n, broken: 2n })
      expect(await successor.tip(2n)).not.toHaveProperty('broken')
      expect(await successor.tip(4n)).not.toHaveProperty('broken')
    } finally {
      await successor.close()
    }
    await onStream(({ manager, name }) => manager.streams.deleteMessage(name, 3))
    const last = await target().openForWriting(signal)
    try {
      // Nor is one passed over that is missing.
      expect(await last.tip(0n)).toMatchObject({ broken: 2n })
      await onStream(({ manager, name }) => manager.streams.deleteMessage(name, 2))
      expect(await last.tip(0n)).toMatchObject({ position: 4n, broken: 4n })
    } finally {
      await last.close()
    }
  })

  test('a relay that finds its stream broken says so, and sends nothing more', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 5)
    const runner = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(5)
    await cursorAt(app, 'out')
    await runner.stop()
    await publishNotes(app, 3)
    // As if the first of the three had been refused for somebody else's, and the others not.
    await onStream(async ({ manager, js, name }) => {
      await js.publish(`${name.toLowerCase()}.x`, '{}')
      const message = await manager.streams.getMessage(name, { seq: 5 })
      if (message === null) throw new Error('the last message is not there')
      const { subject, data, header } = message
      header.delete('Nats-Expected-Last-Sequence')
      header.delete('Nats-Msg-Id')
      await js.publish(subject, data, { headers: header })
    })
    await app.start(quick)
    await expect
      .poll(() => errorOf(app, 'out'), { timeout: 20_000 })
      .toBe('TIDEMARK_RELAY_STREAM_SHARED')
  })

  test('a broker that is away costs lag and nothing else', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [defineRelay('out', { to: target(), events: [noted] })])
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await a.start(quick)
    await b.start(quick)
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
    await a.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(6)
    await onStream(({ manager, name }) => manager.streams.deleteMessage(name, 3))
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await b.start(quick)
    await expect.poll(() => errorOf(b, 'in'), { timeout: 20_000 }).toBe('TIDEMARK_INTAKE_GAP')
  })

  test('a stream that is filled anew is taken once', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [defineRelay('out', { to: target(), events: [noted] })])
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await publishNotes(a, 6)
    await using one = await a.start(quick)
    await b.start(quick)
    await expect.poll(() => notesOf(other, 'there'), { timeout: 20_000 }).toHaveLength(6)
    await one.stop()
    await onStream(({ manager, name }) => manager.streams.delete(name))
    await a.listeners.reset('out')
    await publishNotes(a, 2)
    await a.start(quick)
    await expect.poll(() => notesOf(other, 'there'), { timeout: 40_000 }).toHaveLength(8)
    expect(new Set(await notesOf(other, 'there')).size).toBe(8)
  })

  test('verify names a message that is missing, one that comes twice and one that was altered', async () => {
    const relay = defineRelay('out', { to: target(), events: [noted] })
    await using app = appOn(database, [relay])
    await publishNotes(app, 30)
    const runner = await app.start(quick)
    await expect.poll(held, { timeout: 20_000 }).toHaveLength(30)
    await cursorAt(app, 'out')
    await runner.stop()
    expect(await app.relays.verify('out')).toMatchObject({ messages: 30, difference: null })

    const last = await held().then((sequences) => sequences.at(-1))
    await onStream(async ({ manager, js, name }) => {
      const message = await manager.streams.getMessage(name, { seq: 30 })
      if (message === null) throw new Error('the last message is not there')
      const { subject, data, header } = message
      header.delete('Nats-Expected-Last-Sequence')
      header.delete('Nats-Msg-Id')
      await js.publish(subject, data, { headers: header })
    })
    expect((await app.relays.verify('out')).difference).toMatchObject({
      kind: 'doubled',
      sequence: last,
      position: 31n,
    })
    await onStream(({ manager, name }) => manager.streams.deleteMessage(name, 31))
    await onStream(async ({ manager, js, name }) => {
      const message = await manager.streams.getMessage(name, { seq: 30 })
      if (message === null) throw new Error('the last message is not there')
      await manager.streams.deleteMessage(name, 30)
      const { subject, header } = message
      header.delete('Nats-Expected-Last-Sequence')
      header.delete('Nats-Msg-Id')
      await js.publish(subject, '{"note":"altered"}', { headers: header })
    })
    expect((await app.relays.verify('out')).difference).toMatchObject({
      kind: 'altered',
      sequence: last,
      what: 'its payload is another',
    })
    const sequences = await held()
    await onStream(({ manager, name }) => manager.streams.deleteMessage(name, 10))
    expect((await app.relays.verify('out')).difference).toMatchObject({
      kind: 'missing',
      sequence: sequences[9],
      position: 11n,
    })
    await expect(app.relays.verify('oout')).rejects.toMatchObject({
      code: 'TIDEMARK_UNKNOWN_LISTENER',
    })
  })

  async function refusal(stored: Promise<void>): Promise<void> {
    await expect(stored).rejects.toMatchObject({ code: 'TIDEMARK_RELAY_OUTRUN' })
  }

  function outgoing(sequence: bigint): OutgoingMessage {
    const event = { sequence: toEventSequence(sequence), type: 'test.noted', key: null }
    return {
      event: event as OutgoingMessage['event'],
      install: '0b7e4c1e-0000-4000-8000-000000000000',
      sequence: event.sequence,
      previous: toEventSequence(sequence - 1n),
      id: randomUUID(),
      type: 'test.noted',
      version: 1,
      stream: null,
      streamVersion: null,
      key: null,
      payload: '{}',
      payloadMeta: null,
      correlationId: null,
      causationId: null,
      traceparent: null,
      tracestate: null,
      metadata: null,
      recordedAt: new Date(0),
    }
  }

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
