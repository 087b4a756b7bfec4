import { setTimeout as delay } from 'node:timers/promises'
import { kafka, type Kafka } from '@tidemark/kafka'
import fc from 'fast-check'
import { isTidemarkError, type RelayStream, type TakenMessage } from 'tidemark'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { apis, type Api } from './broker/apis.ts'
import { FakeKafka } from './broker/fake-kafka.ts'
import { held } from './held.ts'
import { range } from './outgoing.ts'

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 20)
const signal = () => AbortSignal.timeout(30_000)
const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

// What a broker answers when it is not ready, is not the leader or the coordinator (any more), or fences.
const errors = [3, 5, 6, 7, 14, 15, 16, 19, 45, 47, 48, 51, 90, 'disconnect', 'swallow'] as const
const faults = fc.array(
  fc.record({
    api: fc.constantFrom(...(Object.keys(apis) as Api[])),
    error: fc.constantFrom(...errors),
    /** After how many steps of the relay. */
    at: fc.nat(8),
  }),
  { maxLength: 12 },
)

describe('a topic under faults', () => {
  let broker: FakeKafka
  let topics = 0
  beforeAll(async () => {
    broker = await FakeKafka.start()
  })
  afterAll(() => broker[Symbol.asyncDispose]())
  beforeEach(() => {
    topics += 1
  })

  const target = (partitions = 1) =>
    kafka({ topic: `t${topics}`, brokers: broker.brokers, create: { partitions } })

  /** Sends what a topic lacks, as a relay does that opens it anew after every error. */
  async function relay(to: Kafka, last: number, size: number, step: () => void): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      let stream: RelayStream | undefined
      try {
        step()
        stream = await to.openForWriting(signal())
        const tip = await stream.tip()
        if (typeof tip.last === 'string') throw new Error(`the last message is ${tip.last}`)
        let { position } = tip
        let next = Number(tip.last?.sequence ?? 0) + 1
        expect(Number(position)).toBe(next - 1)
        while (next <= last) {
          const messages = range(next, Math.min(next + size - 1, last), 5)
          stream.send(messages, position)
          position += BigInt(messages.length)
          next += messages.length
          step()
          await stream.stored(signal())
        }
        return
      } catch (error) {
        const known =
          isTidemarkError(error, 'TIDEMARK_BROKER_UNAVAILABLE') ||
          isTidemarkError(error, 'TIDEMARK_RELAY_OUTRUN')
        if (!known) throw error
      } finally {
        await stream?.close()
      }
      // Those that fence each other would go on doing it: as a relay does, each waits longer and not as long as the others.
      await delay(Math.random() * 5 * Math.min(tries + 1, 20))
    }
    throw new Error('it got nowhere')
  }

  test(
    'each message is there once and in order, whatever requests fail and however many write',
    async () => {
      await fc.assert(
        fc.asyncProperty(
          faults,
          fc.integer({ min: 1, max: 3 }),
          fc.integer({ min: 1, max: 3 }),
          fc.integer({ min: 1, max: 9 }),
          async (planned, partitions, relays, size) => {
            topics += 1
            broker.topics.clear()
            broker.forget()
            const to = target(partitions)
            let steps = 0
            const step = (): void => {
              for (const { api, error, at } of planned) if (at === steps) broker.push(api, error)
              steps += 1
            }
            await Promise.all(Array.from({ length: relays }, () => relay(to, 40, size, step)))
            broker.forget()
            expect(await held(to)).toEqual(upTo(40))
          },
        ),
        { numRuns: runs },
      )
    },
    60_000 + runs * 5_000,
  )

  test('a transaction whose end comes to one partition after the other is given in order', async () => {
    const to = target(3)
    const stream = await to.openForWriting(signal())
    await stream.tip()
    const feed = await to.openForReading({ created: undefined, position: 0n }, signal())
    broker.transactions.hold()
    stream.send(range(1, 40, 11), 0n)
    await stream.stored(signal())
    const seen: TakenMessage[] = []
    const reading = (async () => {
      while (seen.length < 80) seen.push(...(await feed.next(100, signal())))
    })()
    // Three partitions and that of the control topic.
    for (let marker = 0; marker < 4; marker++) {
      broker.transactions.release(1)
      // The feed looks again, and must not take for a gap what is still to be committed.
      await looked(2)
    }
    broker.transactions.release()
    stream.send(range(41, 80, 11), 40n)
    await stream.stored(signal())
    await reading
    await stream.close()
    await feed.close()
    expect(seen.map(({ position }) => Number(position))).toEqual(upTo(80))
  })

  test('whoever comes while a transaction is ending waits for its end', async () => {
    const to = target(2)
    const stream = await to.openForWriting(signal())
    await stream.tip()
    broker.transactions.hold()
    stream.send(range(1, 10, 3), 0n)
    await stream.stored(signal())
    const next = to.openForWriting(signal())
    await asked('initProducerId', 2)
    broker.transactions.release()
    const successor = await next
    expect(await successor.tip()).toMatchObject({ position: 10n, last: { sequence: 10n } })
    await successor.close()
    await stream.close()
  })

  test('messages that are missing in one of several partitions are not passed over', async () => {
    const to = target(3)
    await relay(to, 30, 1, () => {})
    const log = broker.topics.get(to.stream)?.partitions.find(({ end }) => end > 4n)
    log?.trim(2n)
    const feed = await to.openForReading({ created: undefined, position: 0n }, signal())
    const seen: TakenMessage[] = []
    while (seen.at(-1)?.position !== 30n) seen.push(...(await feed.next(100, signal())))
    await feed.close()
    // What there is comes in order, and each message that follows a missing one names it.
    const sequences = seen.map(({ message }) => (message as { sequence: bigint }).sequence)
    expect(sequences).toEqual(sequences.toSorted((x, y) => (x < y ? -1 : 1)))
    expect(sequences).toHaveLength(29)
  })

  test('an offset that the topic does not have any more is read from what there is', async () => {
    const to = target(1)
    await relay(to, 10, 1, () => {})
    const feed = await to.openForReading({ created: undefined, position: 0n }, signal())
    await feed.next(4, signal())
    const place = feed.place?.()
    await feed.close()
    const from = { created: feed.created, position: 4n, place }
    const log = broker.topics.get(to.stream)?.partitions[0]
    log?.trim(12n)
    const after = await to.openForReading(from, signal())
    expect((await after.next(1, signal()))[0]).toMatchObject({ position: 7n })
    await after.close()
    log?.lose(0n)
    log?.trim(0n)
    const empty = await to.openForReading(from, signal())
    expect(await empty.next(1, AbortSignal.timeout(200))).toEqual([])
    await empty.close()
  })

  test('a control topic that is long, and one that was compacted, is read from its end', async () => {
    const to = target(1)
    await relay(to, 300, 1, () => {})
    broker.received.length = 0
    const stream = await to.openForWriting(signal())
    expect(await stream.tip()).toMatchObject({ position: 300n })
    await stream.close()
    // Its marker is the last batch, and the record of 300 the one before it.
    broker.topics.get(`${to.stream}.tidemark`)?.partitions[0]?.compact(2)
    const again = await to.openForWriting(signal())
    expect(await again.tip()).toMatchObject({ position: 300n })
    await again.close()
  })

  /** Waits until the broker was asked a number of times more. */
  async function asked(api: Api, times: number): Promise<void> {
    const count = (): number =>
      broker.received.filter((request) => request.api === apis[api].key).length
    const before = count()
    await expect
      .poll(count, { timeout: 20_000, interval: 5 })
      .toBeGreaterThanOrEqual(before + times)
  }

  const looked = (times: number): Promise<void> => asked('fetch', times)
})
