import { defineIntake, defineRelay, kafka, type KafkaOptions } from '@tidemark/kafka'
import { createTestDatabase } from '@tidemark/testing'
import { defineEvent, type App } from 'tidemark'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { FakeKafka } from './broker/fake-kafka.ts'
import { held } from './held.ts'

const quick = { leaseDuration: 2_000, acquireInterval: 50, handleSignals: false }
const patience = { timeout: 30_000 }
const everything = defineEvent('test.everything', {
  payload: z.object({
    amount: z.bigint(),
    at: z.date(),
    tags: z.set(z.string()),
    text: z.string(),
  }),
})

describe('a relay to Kafka', () => {
  const database = useFreshDatabase()
  let broker: FakeKafka
  let topics = 0

  beforeAll(async () => {
    broker = await FakeKafka.start()
  })
  afterAll(() => broker[Symbol.asyncDispose]())
  beforeEach(() => {
    topics += 1
  })

  const name = () => `t${topics}`
  const target = (options: Partial<KafkaOptions> = {}) =>
    kafka({ topic: name(), brokers: broker.brokers, ...options })
  const relayTo = (to = target()) => defineRelay('out', { to, events: [noted] })
  const logsOf = (topic = name()) => broker.topics.get(topic)?.partitions ?? []

  test.each(['binary', 'structured'] as const)(
    'an event that is published in one service is handled in another, with everything that it says (%s)',
    async (mode) => {
      await using other = await createTestDatabase({ template: effectsTemplate })
      await using a = appOn(database, [
        everything,
        defineRelay('out', { to: target(), events: [everything], mode }),
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
      const published = await a.publish(everything(payload), {
        stream: 'order-☃ 1',
        correlationId: 'corr % é',
        metadata: { who: 'ann' },
      })
      await expect.poll(() => effectsOf(other, 'there'), patience).toHaveLength(1)
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
    },
  )

  test('a relay goes on from what the control topic says, not from its cursor', async () => {
    await using app = appOn(database, [relayTo()])
    await publishNotes(app, 50)
    const first = await app.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(50)
    await first.stop()
    // As if the transaction that wrote the cursor had been lost: everything is read again.
    await database.query(`update tidemark.cursors set cursor = 0, state = null, epoch = epoch + 1`)
    await publishNotes(app, 10)
    await app.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(60)
    const sequences = await held(target())
    expect(sequences).toEqual([...new Set(sequences)].toSorted((x, y) => x - y))
  })

  test('a commit that is not heard of is not made twice', async () => {
    await using app = appOn(database, [relayTo()])
    await publishNotes(app, 5)
    await app.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(5)
    broker.push('endTxn', 'swallow')
    await publishNotes(app, 5)
    await expect.poll(() => held(target()), patience).toHaveLength(10)
    expect(broker.pushed).toBe(0)
    await publishNotes(app, 5)
    await expect.poll(() => held(target()), patience).toHaveLength(15)
    expect(new Set(await held(target())).size).toBe(15)
  })

  test('a topic that was made anew stops the relay, and a reset sends it everything', async () => {
    await using app = appOn(database, [relayTo()])
    await publishNotes(app, 5)
    await using runner = await app.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(5)
    await cursorAt(app)
    await runner.stop()
    broker.topics.delete(name())
    await publishNotes(app, 5)
    await app.start(quick)
    await expect.poll(() => errorOf(app, 'out'), patience).toBe('TIDEMARK_RELAY_STREAM_REPLACED')
    expect(logsOf().every(({ end }) => end === 0n)).toBe(true)
    await app.listeners.reset('out')
    await expect.poll(() => held(target()), patience).toHaveLength(10)
  })

  test('somebody else’s message in the topic stops the relay', async () => {
    await using app = appOn(database, [relayTo()])
    await publishNotes(app, 5)
    await app.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(5)
    // Another application's relay to a topic of the same name is another outbox.
    await using other = await createTestDatabase({ template: effectsTemplate })
    // Both databases are copies of one, and so is what they are called.
    await other.query('update tidemark.installation set id = gen_random_uuid()')
    await using b = appOn(other, [relayTo()])
    await publishNotes(b, 1)
    await b.start(quick)
    await expect.poll(() => errorOf(b, 'out'), patience).toBe('TIDEMARK_RELAY_STREAM_SHARED')
    expect(await held(target())).toHaveLength(5)
  })

  test.each([
    ['a control topic that was deleted', () => broker.topics.delete(`${name()}.tidemark`)],
    ['messages that the brokers had acknowledged and lost', () => logsOf()[0]?.lose(3n)],
  ])('%s stop the relay', async (_what, harm) => {
    await using app = appOn(database, [relayTo()])
    await publishNotes(app, 5)
    const runner = await app.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(5)
    await runner.stop()
    harm()
    await publishNotes(app, 1)
    await app.start(quick)
    await expect.poll(() => errorOf(app, 'out'), patience).toBe('TIDEMARK_RELAY_TIP_GONE')
  })

  test('relay and intake wait for a broker that is away', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [relayTo()])
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await publishNotes(a, 5)
    await a.start(quick)
    await b.start(quick)
    await expect.poll(() => notesOf(other, 'there'), patience).toHaveLength(5)
    await broker.down()
    await publishNotes(a, 5)
    await expect.poll(() => errorOf(a, 'out'), patience).toBe('TIDEMARK_BROKER_UNAVAILABLE')
    await expect.poll(() => errorOf(b, 'in'), patience).toBe('TIDEMARK_BROKER_UNAVAILABLE')
    await broker.up()
    await expect.poll(() => notesOf(other, 'there'), patience).toHaveLength(10)
    expect(new Set(await held(target())).size).toBe(10)
  })

  test('messages that expire before they are read stop the intake', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [relayTo()])
    await publishNotes(a, 6)
    await a.start(quick)
    await expect.poll(() => held(target()), patience).toHaveLength(6)
    // Those that an intake begins with are missing as much as those in the middle.
    logsOf()[0]?.alter(0n, () => undefined)
    await publishNotes(a, 2)
    await expect.poll(async () => logsOf()[0]?.end, patience).toBeGreaterThan(8n)
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await b.start(quick)
    await expect.poll(() => errorOf(b, 'in'), patience).toBe('TIDEMARK_INTAKE_GAP')
    expect(await notesOf(other, 'there')).toEqual([])
  })

  test('a topic that is filled anew is taken once', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [relayTo()])
    await using b = appOn(other, [defineIntake('in', { from: target() }), recorder('there')])
    await publishNotes(a, 6)
    await using one = await a.start(quick)
    await b.start(quick)
    await expect.poll(() => notesOf(other, 'there'), patience).toHaveLength(6)
    await one.stop()
    broker.topics.delete(name())
    await a.listeners.reset('out')
    await publishNotes(a, 2)
    await a.start(quick)
    await expect.poll(() => notesOf(other, 'there'), patience).toHaveLength(8)
    expect(new Set(await notesOf(other, 'there')).size).toBe(8)
  })

  test('verify names a message that is missing, and one that was altered', async () => {
    const to = target({ create: { partitions: 2 } })
    await using app = appOn(database, [relayTo(to)])
    const runner = await app.start(quick)
    // Each in a transaction, and so in a batch, of its own.
    for (let count = 1; count <= 5; count++) {
      await publishNotes(app, 1)
      await cursorAt(app)
    }
    await runner.stop()
    expect(await app.relays.verify('out')).toMatchObject({ messages: 5, difference: null })
    const sequences = await held(to)
    const found = logsOf().map((log) => log.read(0n, 1_000_000).records.toString('latin1'))
    const second = found.findIndex((records) => records.includes(`n${notes - 3}`))
    const log = logsOf()[second]
    let offset = 0n
    while (
      log
        ?.read(offset, 1)
        .records.toString('latin1')
        .includes(`n${notes - 3}`) !== true
    ) {
      offset += 1n
    }
    log.alter(offset, (bytes) =>
      Buffer.from(bytes.toString('latin1').replace('"note":"n', '"note":"m'), 'latin1'),
    )
    expect((await app.relays.verify('out')).difference).toMatchObject({
      kind: 'altered',
      sequence: BigInt(sequences[1] ?? 0),
      position: 2n,
    })
    log.alter(offset, () => undefined)
    expect((await app.relays.verify('out')).difference).toMatchObject({
      kind: 'missing',
      sequence: BigInt(sequences[1] ?? 0),
      position: 3n,
    })
  })

  test('topics are made by setup, and one that would lose events is refused', async () => {
    const to = target({ create: { partitions: 3, configs: { 'min.insync.replicas': '2' } } })
    await using app = appOn(database, [relayTo(to)])
    expect(await app.relays.setUp('out')).toMatchObject({ stream: name(), messages: 0n })
    expect(Object.fromEntries(broker.topics.get(name())?.configs ?? [])).toEqual({
      'cleanup.policy': 'delete',
      'retention.ms': '-1',
      'retention.bytes': '-1',
      'min.insync.replicas': '2',
    })
    expect(broker.topics.get(`${name()}.tidemark`)?.configs.get('cleanup.policy')).toBe('compact')
    broker.topics.get(name())?.configs.set('min.insync.replicas', '1')
    await expect(app.relays.setUp('out')).rejects.toThrow(/min\.insync\.replicas "1".*"2"/u)
    broker.topics.get(name())?.configs.set('cleanup.policy', 'compact,delete')
    await publishNotes(app, 1)
    await app.start(quick)
    await expect.poll(() => errorOf(app, 'out'), patience).toBe('TIDEMARK_RELAY_STREAM_UNFIT')
    await expect(
      kafka({ topic: 'nowhere', brokers: broker.brokers, create: false }).inspect(
        AbortSignal.timeout(10_000),
      ),
    ).rejects.toThrow('there is no topic nowhere')
  })

  async function errorOf(app: App, listener: string): Promise<string | undefined> {
    const { partitions } = await app.listeners.get(listener)
    return (partitions[0]?.lastError as { code?: string } | null | undefined)?.code
  }

  let notes = 0
  async function publishNotes(app: App, count: number): Promise<void> {
    const drafts = Array.from({ length: count }, () => noted({ note: `n${(notes += 1)}` }))
    await app.publish(drafts)
  }

  async function cursorAt(app: App): Promise<void> {
    const { rows } = await database.query<{ sequence: string }>(
      'select max(sequence) as sequence from tidemark.events',
    )
    await app.waitFor('out', BigInt(rows[0]?.sequence ?? 0) as never)
  }
})
