import { createApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { smallPartitions } from '../support/small-partitions.ts'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { checkFaults, examined, hung, modules, noted, table } from './planted.ts'

const database = useTestDatabase({ leakCheck: false })
let viewer: App
let system: AsyncDisposableStack

beforeEach(async () => {
  system = new AsyncDisposableStack()
  await database.query('create table if not exists planted (note text)')
  viewer = system.use(appOn(database, modules))
})

afterEach(async () => {
  vi.restoreAllMocks()
  await system.disposeAsync()
})

const sql =
  (text: string): (() => Promise<unknown>) =>
  () =>
    database.query(text)

test('processes, the server and what is around them', { timeout: 240_000 }, async () => {
  await smallPartitions(database)
  const app = system.use(appOn(database, modules, { maxConnections: 4 }))
  // Nobody answers there, as in a pooler that passes nothing on. What it says of the findings no SDK hears yet: it would be
  // the last word about whatever it saw before it is stopped.
  const deaf = new AsyncDisposableStack()
  system.defer(() => deaf.disposeAsync())
  const app2 = deaf.use(
    appOn(database, [noted], { listenConnectionString: 'postgres://127.0.0.1:1/none' }),
  )
  deaf.use(await app2.start({ handleSignals: false }))
  system.use(
    await app.start({
      maintenanceInterval: 200,
      handleSignals: false,
      keepEvents: { olderThan: 0, evenProjections: true },
    }),
  )
  const clients = new AsyncDisposableStack()
  const connect = async (text: string): Promise<void> => {
    const client = await database.connect()
    clients.defer(async () => {
      await client.query('rollback')
      await client.end()
    })
    await client.query(text)
  }
  const held: Promise<unknown>[] = []
  const free = Promise.withResolvers<void>()
  let asking = true
  // Also when something else has failed: a loop on a closed application would never end.
  system.defer(() => {
    asking = false
    free.resolve()
  })

  await checkFaults(database, viewer, [
    {
      name: 'silent process',
      code: 'process-silent',
      cause: /gone:1 has not been heard of for \d+ s/u,
      plant: sql(
        `insert into tidemark.processes (id, hostname, pid, library, heartbeat_at)
         values (gen_random_uuid(), 'gone', 1, '0', clock_timestamp() - interval '11 s')`,
      ),
      mend: sql(`delete from tidemark.processes where hostname = 'gone'`),
    },
    {
      name: 'stale worker version',
      code: 'process-outdated',
      cause: /runs version 1 of the projection table, and others run 2/u,
      plant: sql(
        `insert into tidemark.processes (id, hostname, pid, library, definitions, heartbeat_at) values
         (gen_random_uuid(), 'new', 1, '1', '[{"kind":"projection","name":"table","version":2}]',
          clock_timestamp() + interval '1 hour')`,
      ),
      mend: sql(`delete from tidemark.processes where hostname = 'new'`),
    },
    {
      name: 'pooler in the LISTEN path',
      code: 'process-deaf',
      cause: /has heard no notification for \d+ s/u,
      plant: async () => {},
      mend: () => deaf.disposeAsync(),
    },
    {
      name: 'rebuild that cannot switch',
      code: 'rebuild-not-switching',
      cause: /rebuild of table .* somebody uses its tables/u,
      plant: async () => {
        await connect('begin; select from planted')
        await app.rebuild(table)
      },
      mend: () => clients.disposeAsync(),
    },
    {
      name: 'retention behind',
      code: 'retention-behind',
      cause: /old events stay/u,
      plant: async () => {
        await viewer.listeners.pause('parker')
        // Whole partitions that all others pass.
        await app.publish(Array.from({ length: 250 }, (_, event) => noted({ note: `n${event}` })))
        await vi.waitFor(
          async () =>
            expect((await examined(viewer)).map(({ code }) => code)).toContain('retention-behind'),
          hung,
        )
      },
      mend: () => viewer.listeners.resume('parker'),
    },
    {
      name: 'exhausted pool',
      code: 'pool-exhausted',
      cause: /all connections of the pool "application"/u,
      plant: async () => {
        for (let one = 0; one < 4; one++) held.push(app.transaction(() => free.promise))
        const ask = async (): Promise<void> => {
          while (asking) await app.publish(noted({ note: 'late' })).catch(() => {})
        }
        held.push(ask())
      },
      mend: async () => {
        asking = false
        free.resolve()
        await Promise.all(held)
      },
    },
    {
      name: 'clock difference',
      code: 'clock-difference',
      cause: /ms behind the server/u,
      plant: async () => {
        // Behind: an SDK takes the value with the latest time for the present one.
        const now = Date.now
        vi.spyOn(Date, 'now').mockImplementation(() => now() - 600_000)
      },
      mend: async () => {
        vi.restoreAllMocks()
      },
    },
    {
      name: 'stuck publisher',
      code: 'publisher-stuck',
      cause: /pid \d+/u,
      plant: () => connect(`begin; select tidemark.publish('test.noted', '{"note":"held"}')`),
      mend: async () => {},
    },
  ])
})

test('migrations that are missing, or are not what was applied', { timeout: 240_000 }, async () => {
  const latest = '(select max(version) from tidemark.migrations)'
  const [row] = (
    await database.query(`select * from tidemark.migrations where version = ${latest}`)
  ).rows as { version: number; name: string; checksum: string; breaking: boolean }[]
  const api = new ApiClient(createApi(viewer, { overviewInterval: 20 }))
  const codesNow = async (): Promise<string[]> =>
    ((await api.get('/overview')).body['findings'] as { code: string }[]).map(({ code }) => code)
  for (const [plant, code, mend] of [
    [
      `update tidemark.migrations set checksum = 'other' where version = ${latest}`,
      'migration-changed',
      `update tidemark.migrations set checksum = '${row?.checksum}' where version = ${latest}`,
    ],
    [
      `delete from tidemark.migrations where version = ${latest}`,
      'migration-pending',
      `insert into tidemark.migrations values (${row?.version}, '${row?.name}', ${row?.breaking}, '${row?.checksum}')`,
    ],
  ] as const) {
    await database.query(plant)
    expect((await examined(viewer)).map((one) => one.code)).toContain(code)
    await vi.waitFor(async () => expect(await codesNow()).toContain(code), hung)
    await database.query(mend)
    await vi.waitFor(async () => expect(await codesNow()).not.toContain(code), hung)
  }
})
