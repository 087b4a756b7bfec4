import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { describe, expect, test } from 'vitest'
import type { Random } from '../harness/random.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { NatsCluster } from './nats-cluster.ts'
import { natsMissing, NatsServer } from './nats-server.ts'
import { runUnderFaults, type Survived } from './under-faults.ts'

const missing = natsMissing()
if (missing !== null) console.log(`relays under faults are not tested: ${missing}`)

/** How long faults are made in each test; the figures in docs/relays.md are of longer runs. */
const seconds = Number(process.env['TIDEMARK_RELAY_CHAOS_SECONDS'] ?? 5)
/** Events in one transaction at most: more of them make more messages. */
const most = Number(process.env['TIDEMARK_RELAY_CHAOS_MOST'] ?? 40)
/** The longest time between two faults, in milliseconds: fewer of them leave time for more messages. */
const pace = Number(process.env['TIDEMARK_RELAY_CHAOS_PACE'] ?? 600)
const leaseDuration = 1_000
const patience = seconds * 6_000 + 240_000

function report(what: string, { seed, events, faults }: Survived): void {
  console.log(`relay chaos, ${what}: ${events} events, seed ${seed}, ${JSON.stringify(faults)}`)
}

describe.skipIf(missing !== null)('relay and intake', () => {
  const database = useFreshDatabase()

  test(
    'every event takes effect in the other service once and in order, whatever dies between',
    async () => {
      await using server = await NatsServer.start()
      await using other = await createTestDatabase({ template: effectsTemplate })
      const survived = await runUnderFaults({
        from: database,
        to: other,
        seconds,
        most,
        pace,
        // So short that it decides nothing: what comes twice must be refused for another reason.
        service: { servers: server.servers, stream: 'CHAOS', leaseDuration, window: 100 },
        faults: {
          'broker killed': async () => {
            await server.kill()
            await server.startAgain()
          },
        },
      })
      report('one server', survived)
      expect(Object.values(survived.faults)).not.toContain(0)
    },
    patience,
  )

  test(
    'every event takes effect once and in order while leaders, nodes and databases of a cluster go and come',
    async () => {
      await using cluster = await NatsCluster.start()
      await using postgres = await startPostgres({ source: 'embedded' })
      await using from = await createTestDatabase({ server: postgres, template: effectsTemplate })
      await using to = await createTestDatabase({ server: postgres, template: effectsTemplate })
      // What is cut by a restart says so; it is looked at again.
      for (const { pool } of [from, to]) pool.on('error', () => {})
      const oneNode = (random: Random): NatsServer => random.one(cluster.nodes)
      const survived = await runUnderFaults({
        from,
        to,
        seconds,
        most,
        pace,
        service: {
          servers: cluster.servers,
          stream: 'CHAOS',
          leaseDuration,
          window: 1_000,
          replicas: 3,
        },
        faults: {
          'leader deposed': () => cluster.deposeLeader('CHAOS'),
          'node killed': async (random) => {
            const node = oneNode(random)
            await node.kill()
            await node.startAgain()
          },
          'node frozen': async (random) => {
            const node = oneNode(random)
            node.signal('SIGSTOP')
            setTimeout(() => node.signal('SIGCONT'), random.whole(500, 3_000))
          },
          'postgres restarted': async () => {
            await postgres.kill()
            await postgres.restart()
          },
        },
      })
      report('three servers', survived)
      expect(Object.values(survived.faults)).not.toContain(0)
    },
    patience,
  )
})
