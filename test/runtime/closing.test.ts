import pg from 'pg'
import { defineApp, defineEvent, defineJob, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { FaultyWire } from '../harness/faults/faulty-wire.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'

const noted = defineEvent('closing.noted', { payload: z.object({ n: z.number() }) })
const database = useFreshDatabase()

function appAt(connectionString: string) {
  return defineApp({
    modules: [noted],
    connectionString,
    maxConnections: 8,
    connection: { application_name: 'closing' },
  })
}

async function useConnections(app: ReturnType<typeof appAt>): Promise<void> {
  const transactions = Array.from({ length: 8 }, (_, n) =>
    app.transaction(async (tx) => {
      await tx.query('select pg_sleep(0.01)')
      tx.publish(noted({ n }))
    }),
  )
  await Promise.all(transactions)
}

test('no connection is left when an application has closed', async () => {
  for (let round = 0; round < 20; round++) {
    const app = appAt(database.url)
    await useConnections(app)
    await app.close()
    const { rows } = await database.query(
      `select pid, state, query from pg_stat_activity
       where datname = current_database() and application_name = 'closing'`,
    )
    expect(rows).toEqual([])
  }
})

test('an application closes although its server has vanished', async () => {
  await using wire = await FaultyWire.open(database.url)
  const app = appAt(wire.url)
  await useConnections(app)
  expect(wire.loseConnections(() => true)).toBeGreaterThan(0)
  await app.close()
})

const job = defineJob('closing_job', { input: z.number(), run: () => {} })
const afterwards: Readonly<Record<string, (app: App) => Promise<unknown>>> = {
  'jobs.spawn': (app) => app.jobs.spawn(job, 1),
  'jobs.list': (app) => app.jobs.list(),
  'jobs.handle': (app) => app.jobs.handle('00000000-0000-7000-8000-000000000000').report(),
  'jobs.pauses': (app) => app.jobs.pauses.pauseQueue('default'),
  'jobs.schedules': (app) => app.jobs.schedules.list(),
  'jobs.withLock': (app) => app.jobs.withLock('k', { ttl: '1s' }, () => {}),
  listeners: (app) => app.listeners.list(),
  deadLetters: (app) => app.deadLetters.list(),
  processes: (app) => app.processes.list(),
  publish: (app) => app.publish(noted({ n: 1 })),
  transaction: (app) => app.transaction(async () => {}),
}

test.each(['its own pool', 'a given pool'])(
  'whatever is asked of an application that is closed says so: %s',
  async (whose) => {
    const pool = new pg.Pool({ connectionString: database.url })
    const app = defineApp({
      modules: [noted, job],
      ...(whose === 'a given pool' ? { pool } : { connectionString: database.url }),
    })
    await app.jobs.spawn(job, 1)
    await app.close()
    for (const [what, ask] of Object.entries(afterwards)) {
      await expect(ask(app), what).rejects.toMatchObject({ code: 'TIDEMARK_CLOSED' })
    }
    await pool.end()
  },
)
