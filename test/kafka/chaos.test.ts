import { kafka } from '@tidemark/kafka'
import { createTestDatabase } from '@tidemark/testing'
import { describe, expect, test } from 'vitest'
import { runUnderFaults } from '../relay/under-faults.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import type { Api } from './broker/apis.ts'
import { FakeKafka } from './broker/fake-kafka.ts'
import { held } from './held.ts'

/** How long faults are made. */
const seconds = Number(process.env['TIDEMARK_RELAY_CHAOS_SECONDS'] ?? 2)
const apis: readonly Api[] = ['produce', 'fetch', 'initProducerId', 'addPartitionsToTxn', 'endTxn']
const errors = [6, 14, 16, 51, 'disconnect', 'swallow'] as const

describe('relay and intake over Kafka', () => {
  const database = useFreshDatabase()

  test(
    'every event takes effect in the other service once and in order, whatever dies between',
    async () => {
      await using broker = await FakeKafka.start()
      await using other = await createTestDatabase({ template: effectsTemplate })
      const stream = 'chaos'
      const survived = await runUnderFaults({
        from: database,
        to: other,
        seconds,
        service: {
          broker: 'kafka',
          servers: [...broker.brokers],
          stream,
          leaseDuration: 1_000,
          window: 1,
        },
        held: async () => {
          broker.forget()
          return held(kafka({ topic: stream, brokers: broker.brokers }))
        },
        faults: {
          'broker away': async () => {
            await broker.down()
            await broker.up()
          },
          'requests fail': async (random) => {
            for (let count = random.whole(1, 5); count > 0; count--) {
              broker.push(random.one(apis), random.one(errors))
            }
          },
          'ends come late': async (random) => {
            broker.transactions.hold()
            setTimeout(() => broker.transactions.release(), random.whole(10, 300))
          },
        },
      })
      console.log(
        `Kafka chaos: ${survived.events} events, seed ${survived.seed}, ${JSON.stringify(survived.faults)}`,
      )
      expect(Object.values(survived.faults)).not.toContain(0)
    },
    seconds * 6_000 + 240_000,
  )
})
