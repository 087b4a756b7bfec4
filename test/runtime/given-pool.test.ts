import pg from 'pg'
import {
  defineApp,
  defineEntity,
  defineEvent,
  defineJob,
  defineListener,
  type AppOptions,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const counted = defineEvent('pool.counted', { payload: z.object({ by: z.bigint() }) })
const counter = defineEntity('counter', { initial: () => 0n, snapshotEvery: 2 }).on(
  counted,
  (sum, { payload }) => sum + payload.by,
)
const write = defineJob('write', {
  input: z.string(),
  transact: async (job, { tx }) => {
    await tx.query('insert into effects (listener, sequence, process) values ($1, 0, $2)', [
      'job',
      job.input,
    ])
  },
})

/** Works with a pool of the application's, and closes it when all is done. */
async function withPool(
  config: pg.PoolConfig,
  work: (pool: pg.Pool) => Promise<void>,
): Promise<void> {
  const pool = new pg.Pool({ connectionString: database.url, application_name: 'mine', ...config })
  pool.on('error', () => {})
  try {
    await work(pool)
  } finally {
    await pool.end()
    // A pool says that it has ended before the server knows.
    while ((await connections()) > 0) await new Promise(setImmediate)
  }
}

/** The application on nothing but this pool: no other address is known to it. */
function on(options: Pick<AppOptions, 'pool' | 'maxConnections'>): AppOptions {
  return {
    modules: [noted, counted, recorder('ledger'), write],
    logger: new LogBook(),
    ...options,
  }
}

async function connections(): Promise<number> {
  const { rows } = await database.query<{ count: number }>(
    `select count(*)::integer as count from pg_stat_activity
     where datname = current_database() and backend_type = 'client backend'
       and application_name ~ '^(mine|tidemark|tidemark (worker|jobs|doorbell.*))$'`,
  )
  return rows[0]?.count ?? 0
}

test('everything works on a given pool, on no more connections than it has and one to listen', async () => {
  await withPool({ max: 8 }, async (pool) => {
    const app = defineApp(on({ pool }))
    const runner = await app.start({ sharePool: true, handleSignals: false })
    let most = 0
    const publishing = Array.from({ length: 40 }, async (_, index) => {
      const { sequence } =
        index % 2 === 0
          ? await app.publish(noted({ note: `${index}` }))
          : await app.transaction(async (tx) => tx.publish(noted({ note: `${index}` })))
      await (await app.jobs.spawn(write, `${index}`)).result({ timeout: '30s' })
      most = Math.max(most, await connections())
      return sequence
    })
    const sequences = await Promise.all(publishing)
    await app.waitFor(
      'ledger',
      sequences.reduce((a, b) => ((a ?? 0n) > (b ?? 0n) ? a : b)),
      {
        timeout: '30s',
      },
    )
    expect(await effectsOf(database, 'ledger')).toHaveLength(40)
    expect(await effectsOf(database, 'job')).toHaveLength(40)
    expect(most).toBeLessThanOrEqual(9)
    await runner.stop()
    await app.close()
    // It is the application's, and as it was.
    const client = await pool.connect()
    expect((client as { pipeline?: boolean }).pipeline).toBe(false)
    client.release()
    expect(pool.idleCount).toBe(pool.totalCount)
  })
})

test('without sharing, a runner has pools of its own at the same place', async () => {
  await withPool({ max: 2 }, async (pool) => {
    const app = defineApp(on({ pool }))
    const runner = await app.start({ handleSignals: false })
    const { sequence } = await app.publish(noted({ note: 'x' }))
    await app.waitFor('ledger', sequence, { timeout: '30s' })
    expect(await effectsOf(database, 'ledger')).toEqual([sequence])
    await runner.stop()
    await app.close()
  })
})

test('a pool with parsers of its own is read as if it had none', async () => {
  const types = new pg.TypeOverrides()
  for (const type of [16, 20, 23, 114, 1184, 3802]) types.setTypeParser(type, (text) => `<${text}>`)
  await withPool({ max: 8, types }, async (pool) => {
    const app = defineApp(on({ pool }))
    const runner = await app.start({ sharePool: true, handleSignals: false })
    for (const by of [1n, 2n, 3n]) await app.decide(counter, 'c', () => counted({ by }))
    expect(await app.load(counter, 'c')).toMatchObject({ state: 6n, version: 3n })
    const job = await app.jobs.spawn(write, 'x')
    await job.result({ timeout: '30s' })
    expect((await app.jobs.list())[0]).toMatchObject({ input: 'x', status: 'completed' })
    expect((await app.jobs.list())[0]?.createdAt).toBeInstanceOf(Date)
    const { sequence } = await app.publish(noted({ note: 'x' }))
    await app.waitFor('ledger', sequence, { timeout: '30s' })
    const [status] = await app.listeners.list()
    expect(status).toMatchObject({ name: 'ledger' })
    // The application's own statements are read by its own parsers.
    const mine = await app.transaction((tx) => tx.query('select 5 as five'))
    expect(mine.result.rows).toEqual([{ five: '<5>' }])
    await runner.stop()
    await app.close()
  })
})

test('a pool that is answered in binary is read as if it was not, and has its clients back as they were', async () => {
  await withPool({ max: 1, binary: true } as pg.PoolConfig, async (pool) => {
    const app = defineApp(on({ pool }))
    for (const by of [1n, 2n, 3n]) await app.decide(counter, 'c', () => counted({ by }))
    expect(await app.load(counter, 'c')).toMatchObject({ state: 6n, version: 3n })
    await app.close()
    const client = await pool.connect()
    expect(client).toMatchObject({ binary: true, pipeline: false })
    client.release()
  })
})

test('a function that gives connections is asked for as many as are allowed, and gets all of them back', async () => {
  await withPool({ max: 20 }, async (pool) => {
    let lent = 0
    let most = 0
    let inside = 0
    const gate = Promise.withResolvers<void>()
    pool.on('acquire', () => {
      lent += 1
      most = Math.max(most, lent)
    })
    pool.on('release', () => {
      lent -= 1
    })
    const app = defineApp(on({ pool: () => pool.connect(), maxConnections: 4 }))
    await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        app.transaction(async (tx) => {
          inside += 1
          // Not before as many as are allowed are in the middle of one.
          if (inside === 4) gate.resolve()
          await gate.promise
          tx.publish(noted({ note: `${index}` }))
        }),
      ),
    )
    expect(most).toBe(4)
    expect(lent).toBe(0)
    await expect(app.start({ handleSignals: false })).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
    await app.close()
  })
})

test('a connection that the server ends while it is lent ends no process, and is replaced', async () => {
  await withPool({ max: 4 }, async (pool) => {
    const app = defineApp(on({ pool }))
    await expect(
      app.transaction(async (tx) => {
        await tx.query('select pg_terminate_backend(pg_backend_pid())')
      }),
    ).rejects.toThrow(/terminat/u)
    await app.publish(noted({ note: 'after' }))
    expect(pool.totalCount).toBeLessThanOrEqual(4)
    await app.close()
  })
})

test('what the application has set in its sessions stays, and what a handler sets does not', async () => {
  const settings = `select current_setting('timezone') as zone, current_setting('statement_timeout') as timeout`
  await withPool({ max: 8 }, async (pool) => {
    pool.on('connect', (client) => void client.query(`set timezone = 'Asia/Tokyo'`))
    const leaky = defineListener('leaky').on(noted, async (_, { tx }) => {
      await tx.query(`set statement_timeout = '4321s'`)
    })
    const app = defineApp({ ...on({ pool }), modules: [noted, leaky, recorder('ledger')] })
    const runner = await app.start({ sharePool: true, handleSignals: false })
    const { sequence } = await app.publish(noted({ note: 'x' }))
    await app.waitFor(['leaky', 'ledger'], sequence, { timeout: '30s' })
    await runner.stop()
    await app.close()
    const clients = await Promise.all(Array.from({ length: 8 }, () => pool.connect()))
    for (const client of clients) {
      expect((await client.query(settings)).rows).toEqual([{ zone: 'Asia/Tokyo', timeout: '0' }])
      client.release()
    }
  })
})

test('pools that cannot be shared, and what is no pool, are refused with the reason', async () => {
  const refused = { code: 'TIDEMARK_INVALID_OPTION' }
  for (const pool of [{}, 7, 'pool', null]) {
    expect(() => defineApp(on({ pool: pool as never }))).toThrow(expect.objectContaining(refused))
  }
  await withPool({ max: 7 }, async (pool) => {
    const app = defineApp(on({ pool }))
    await expect(app.start({ sharePool: true })).rejects.toMatchObject(refused)
    await app.close()
  })
  await using app = appOn(database, [defineListener('l').on(noted, () => {})])
  await expect(app.start({ sharePool: true })).rejects.toMatchObject(refused)
})

test('clients of another driver are refused with the reason, and given back', async () => {
  let lent = 0
  const pool = async (): Promise<pg.PoolClient> => {
    lent += 1
    return { release: () => (lent -= 1) } as unknown as pg.PoolClient
  }
  const app = defineApp(on({ pool, maxConnections: 4 }))
  await expect(app.publish(noted({ note: 'x' }))).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
    hint: expect.stringContaining('pg.native') as string,
  })
  await app.close()
  expect(lent).toBe(0)
})

test('sessions of a given pool that show dates in another way are read alike, and given back as they were', async () => {
  const settings =
    "datestyle = 'German, DMY'; set intervalstyle = 'iso_8601'; set bytea_output = 'escape'"
  const pool = new pg.Pool({ connectionString: database.url, max: 8 })
  pool.on('error', () => {})
  pool.on(
    'connect',
    (client) => void client.query(`set ${settings}; set quote_all_identifiers = on`),
  )
  const seen: Date[] = []
  const listener = defineListener('dates').on(noted, ({ recordedAt }) => void seen.push(recordedAt))
  const app = appOn(database, [listener], { pool })
  await app.start({ handleSignals: false, sharePool: true })
  const { sequence } = await app.publish(noted({ note: 'n' }), { stream: 's' })
  await app.waitFor(listener, sequence)
  const [streamed] = await Array.fromAsync(app.stream('s'))
  const { events } = await app.outbox.inspect()
  for (const at of [seen[0], streamed?.recordedAt, events[0]?.recordedAt]) {
    expect(Math.abs((at?.getTime() ?? 0) - Date.now())).toBeLessThan(120_000)
  }
  await app.close()
  const { rows } = await pool.query(
    `select current_setting('datestyle') as dates, current_setting('bytea_output') as bytes`,
  )
  expect(rows).toEqual([{ dates: 'German, DMY', bytes: 'escape' }])
  await pool.end()
})
