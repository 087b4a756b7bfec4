import { randomUUID } from 'node:crypto'
import { Producer } from '@platformatic/kafka'
import { kafka, type KafkaOptions } from '@tidemark/kafka'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeKafka } from './broker/fake-kafka.ts'
import { held, taken } from './held.ts'
import { install, outgoing, range } from './outgoing.ts'

// Any cluster that may be written to, for instance KAFKA_BROKERS=localhost:9092; otherwise the broker of these tests.
const given = process.env['KAFKA_BROKERS']?.split(',')

describe(`a topic of ${given === undefined ? 'the broker of these tests' : 'KAFKA_BROKERS'}`, () => {
  let fake: FakeKafka | undefined
  let brokers: readonly string[] = given ?? []
  const signal = () => AbortSignal.timeout(30_000)

  beforeAll(async () => {
    if (given !== undefined) return
    fake = await FakeKafka.start()
    brokers = fake.brokers
  })
  afterAll(() => fake?.[Symbol.asyncDispose]())

  const target = (options: Partial<KafkaOptions> = {}) =>
    kafka({ topic: `tidemark-test-${randomUUID()}`, brokers, ...options })

  async function write(to: ReturnType<typeof target>, from: number, upTo: number, keys = 0) {
    const stream = await to.openForWriting(signal())
    try {
      const { position } = await stream.tip()
      stream.send(range(from, upTo, keys), position)
      await stream.stored(signal())
    } finally {
      await stream.close()
    }
  }

  test('a topic that is new has no tip, and one that was written to has its last message', async () => {
    const to = target()
    const stream = await to.openForWriting(signal())
    const { created, position, last } = await stream.tip()
    expect({ position, last }).toEqual({ position: 0n, last: undefined })
    stream.send(range(1, 3), 0n)
    stream.send(range(4, 10), 3n)
    await stream.stored(signal())
    await stream.close()
    const again = await to.openForWriting(signal())
    expect(await again.tip()).toEqual({ created, position: 10n, last: { install, sequence: 10n } })
    await again.close()
    expect(await held(to)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  test('what was not committed is not there, and is sent again by whoever comes next', async () => {
    const to = target({ create: { partitions: 3 } })
    await write(to, 1, 20, 5)
    const dying = await to.openForWriting(signal())
    await dying.tip()
    dying.send(range(21, 60, 5), 20n)
    // Its successor comes while its transaction is open, and ends it.
    const next = await to.openForWriting(signal())
    expect(await next.tip()).toMatchObject({ position: 20n, last: { sequence: 20n } })
    next.send(range(21, 40, 5), 20n)
    await next.stored(signal())
    await expect(dying.stored(signal())).rejects.toMatchObject({ code: 'TIDEMARK_RELAY_OUTRUN' })
    await dying.close()
    next.send(range(41, 50, 5), 40n)
    await next.stored(signal())
    await next.close()
    expect(await held(to)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  })

  test('whoever had the topic open before adds nothing, at whatever moment it tries', async () => {
    const to = target()
    const zombie = await to.openForWriting(signal())
    await zombie.tip()
    zombie.send(range(1, 5), 0n)
    await zombie.stored(signal())
    await write(to, 6, 8)
    zombie.send(range(6, 9), 5n)
    await expect(zombie.stored(signal())).rejects.toMatchObject({ code: 'TIDEMARK_RELAY_OUTRUN' })
    // After its first error it is not used; if it were, it would add nothing either.
    zombie.send(range(10, 12), 9n)
    await expect(zombie.stored(signal())).rejects.toMatchObject({ code: 'TIDEMARK_RELAY_OUTRUN' })
    await zombie.close()
    await write(to, 9, 9)
    expect(await held(to)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('messages of one key are in one partition, and all of them are given in order', async () => {
    const to = target({ create: { partitions: 4 } })
    await write(to, 1, 300, 7)
    const messages = await taken(to)
    expect(messages.map(({ position }) => Number(position))).toEqual(
      Array.from({ length: 300 }, (_, index) => index + 1),
    )
    expect(await held(to)).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))
  })

  test('a feed goes on from its place, in every partition', async () => {
    const to = target({ create: { partitions: 3 } })
    await write(to, 1, 100, 11)
    const feed = await to.openForReading({ created: undefined, position: 0n }, signal())
    const before = await feed.next(37, signal())
    const position = before.at(-1)?.position ?? 0n
    const place = feed.place?.()
    await feed.close()
    const again = await to.openForReading({ created: feed.created, position, place }, signal())
    const after: bigint[] = []
    while (after.length < 100 - before.length) {
      for (const { message } of await again.next(1_000, signal())) {
        if (message === undefined || message instanceof Error) throw new Error('unreadable')
        after.push(message.sequence)
      }
    }
    await again.close()
    expect(after).toEqual(
      Array.from({ length: 100 - before.length }, (_, index) => BigInt(before.length + index + 1)),
    )
  })

  test('somebody else’s message is seen by whoever opens the topic', async () => {
    const to = target()
    await write(to, 1, 3)
    await other(to.stream)
    const stream = await to.openForWriting(signal())
    expect(await stream.tip()).toMatchObject({ position: 3n, last: 'foreign' })
    await stream.close()
  })

  test('somebody else’s message is seen by a relay that is writing, which commits nothing after it', async () => {
    const to = target()
    const stream = await to.openForWriting(signal())
    await stream.tip()
    stream.send(range(1, 3), 0n)
    await stream.stored(signal())
    await other(to.stream)
    stream.send(range(4, 5), 3n)
    await expect(stream.stored(signal())).rejects.toMatchObject({ code: 'TIDEMARK_RELAY_OUTRUN' })
    await stream.close()
  })

  test.each(['binary', 'structured'] as const)(
    'a message in %s mode says everything that it was given',
    async (mode) => {
      const to = target().routed({ mode })
      const stream = await to.openForWriting(signal())
      await stream.tip()
      const message = {
        ...outgoing(1n, { key: 'kéy %41 ☃', payload: '{"n":12345678901234567890,"t":"ü\\n"}' }),
        stream: 'order-☃ "1"',
        streamVersion: 7n,
        payloadMeta: '{"values":{"n":["bigint"]}}',
        correlationId: 'a % b',
        causationId: '%25',
        traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
        tracestate: 'a=b,c=d',
        metadata: '{"who":"änn"}',
        recordedAt: new Date('2026-11-28T12:00:00.123Z'),
      }
      stream.send([message], 0n)
      await stream.stored(signal())
      await stream.close()
      const { event: _, ...expected } = message
      expect((await taken(to)).map((one) => one.message)).toEqual([expected])
    },
  )

  test('a message that is larger than the topic takes is refused before it is sent', async () => {
    const to = target({ create: { configs: { 'max.message.bytes': '20000' } } })
    const stream = await to.openForWriting(signal())
    await stream.tip()
    const large = outgoing(1n, { payload: JSON.stringify('x'.repeat(20_000)) })
    expect(() => stream.send([large], 0n)).toThrow(
      expect.objectContaining({ code: 'TIDEMARK_RELAY_MESSAGE_REFUSED' }),
    )
    // Many that are large together make several batches.
    const some = range(1, 50).map((message) => ({
      ...message,
      payload: JSON.stringify('x'.repeat(9_000)),
    }))
    stream.send(some, 0n)
    await stream.stored(signal())
    await stream.close()
    expect(await held(to)).toHaveLength(50)
  })

  test('messages are compressed when that is asked for', async () => {
    const to = target({ compression: 'gzip' })
    await write(to, 1, 30)
    expect(await held(to)).toHaveLength(30)
  })

  test('the client’s own producer begins with -1 and -1, and fails with what it sends otherwise', async () => {
    const begin = async (options: object) => {
      const producer = new Producer({
        clientId: 'test',
        bootstrapBrokers: [...brokers],
        idempotent: true,
        transactionalId: `tidemark-test-${randomUUID()}`,
        retries: 2,
        retryDelay: 10,
      })
      try {
        const transaction = await producer.beginTransaction(options)
        await transaction.cancel()
        return producer.producerEpoch
      } finally {
        await producer.close(true)
      }
    }
    await expect(begin({})).rejects.toThrow(/initProducerId|InitProducerId/u)
    expect(await begin({ producerId: -1n, producerEpoch: -1 })).toBe(0)
  })

  async function other(topic: string): Promise<void> {
    const producer = new Producer({ clientId: 'other', bootstrapBrokers: [...brokers] })
    await producer.send({
      messages: [{ topic, partition: 0, value: Buffer.from('{}') }],
      acks: -1,
    })
    await producer.close(true)
  }
})
