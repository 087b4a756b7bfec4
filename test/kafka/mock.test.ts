import { kafka } from '@tidemark/kafka'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { held, taken } from './held.ts'
import { Gateway } from './mock/gateway.ts'
import { MockCluster } from './mock/mock-cluster.ts'
import { range } from './outgoing.ts'

const compiled = MockCluster.compile()
if ('missing' in compiled) {
  console.log(`the protocol of Kafka is not held against librdkafka: ${compiled.missing}`)
}

// Numbers of the protocol.
const produce = 0
const initProducerId = 22
const addPartitionsToTxn = 24
const notLeader = 6
const producerFenced = 90
const concurrentTransactions = 51
// librdkafka's own: the connection is closed.
const transport = -195

// The names are ids, too, of sixteen letters at most. The mock has no markers of transactions, so a topic is opened anew
// for each: the writer expects one after each of its own.
const names = ['told', 'fenced', 'errors']
const topics = Object.fromEntries(
  names.flatMap((name) => [
    [name, 3],
    [`${name}.ctl`, 1],
  ]),
)

describe.skipIf('missing' in compiled)('librdkafka’s mock cluster', () => {
  let mock: MockCluster
  let gateway: Gateway
  const signal = () => AbortSignal.timeout(20_000)

  beforeAll(async () => {
    if ('missing' in compiled) return
    mock = await MockCluster.start(compiled.home, topics)
    gateway = await Gateway.start(mock.address, topics)
  })
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]()
    await mock[Symbol.asyncDispose]()
  })

  const target = (topic: string) =>
    kafka({ topic, control: `${topic}.ctl`, brokers: [`127.0.0.1:${gateway.port}`], create: false })

  async function write(to: ReturnType<typeof target>, from: number, upTo: number): Promise<void> {
    const stream = await to.openForWriting(signal())
    try {
      const { position, last } = await stream.tip()
      expect({
        position,
        last: (last as { sequence: bigint } | undefined)?.sequence ?? 0n,
      }).toEqual({ position: BigInt(from - 1), last: BigInt(from - 1) })
      stream.send(range(from, upTo, 5), position)
      await stream.stored(signal())
    } finally {
      await stream.close()
    }
  }

  test('takes the transactions and the batches of a relay, and gives them back', async () => {
    const to = target('told')
    await write(to, 1, 30)
    await write(to, 31, 31)
    await write(to, 32, 90)
    expect(await held(to)).toEqual(Array.from({ length: 90 }, (_, index) => index + 1))
    expect((await taken(to)).at(-1)).toMatchObject({ position: 90n })
  })

  test('refuses whoever had the transactional id before', async () => {
    const to = target('fenced')
    const zombie = await to.openForWriting(signal())
    await zombie.tip()
    await write(to, 1, 5)
    zombie.send(range(1, 5, 5), 0n)
    await expect(zombie.stored(signal())).rejects.toMatchObject({ code: 'TIDEMARK_RELAY_OUTRUN' })
    await zombie.close()
    expect(await held(to)).toEqual([1, 2, 3, 4, 5])
  })

  test('has requests fail, and a relay that opens the topic anew goes on', async () => {
    const to = target('errors')
    await write(to, 1, 5)
    for (const [api, error, code] of [
      [produce, notLeader, 'TIDEMARK_BROKER_UNAVAILABLE'],
      [produce, transport, 'TIDEMARK_BROKER_UNAVAILABLE'],
      [addPartitionsToTxn, producerFenced, 'TIDEMARK_RELAY_OUTRUN'],
      [initProducerId, notLeader, 'TIDEMARK_BROKER_UNAVAILABLE'],
    ] as const) {
      await mock.push(api, error)
      await expect(write(to, 6, 10), `${api} ${error}`).rejects.toMatchObject({ code })
    }
    // It waits for this one to pass.
    await mock.push(addPartitionsToTxn, concurrentTransactions)
    await write(to, 6, 10)
    expect(await held(to)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })
})
