import { drain, drainJobs } from '@tidemark/testing'
import pg from 'pg'
import {
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  defineSchedule,
  isTidemarkError,
  migrateUp,
  migrationStatus,
  type App,
} from 'tidemark'
import { expect } from 'vitest'
import { z } from 'zod'
import type { Deed } from './statement-by-statement.ts'

const noted = defineEvent('deed.noted', { payload: z.object({ n: z.number() }) })
const settle = defineJob('settle', {
  input: z.object({ n: z.number() }),
  transact: (job, { tx }) => mark(tx, 'settled', job.input.n),
})
const handled = defineListener('handled').on(noted, ({ payload }, { tx }) =>
  mark(tx, 'handled', payload.n),
)
const parking = defineListener('parking', { retry: { attempts: 1 }, onFailure: 'park' }).on(
  noted,
  async ({ payload }, { tx }) => {
    const { rows } = await tx.query(`SELECT FROM effects WHERE what = 'healed'`)
    if (payload.n === 2 && rows.length === 0) throw new Error('not yet')
    await mark(tx, 'parking', payload.n)
  },
)
const list = defineProjection('list', { version: 1, initial: (): number[] => [] }).on(
  noted,
  (all, { payload }) => [...all, payload.n],
)
const hourly = defineSchedule('hourly', {
  cron: '0 * * * *',
  timeZone: 'UTC',
  job: settle,
  input: () => ({ n: 1 }),
  catchUp: 'all',
  overlap: 'allow',
})

async function mark(
  tx: { query(text: string, values: unknown[]): Promise<unknown> },
  what: string,
  n: number,
): Promise<void> {
  await tx.query('INSERT INTO effects VALUES ($1, $2)', [what, n])
}

async function ask<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {
    // Its statement says so.
  })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

async function tables(_: App, url: string): Promise<void> {
  await ask(url, 'CREATE TABLE effects (what text NOT NULL, n integer NOT NULL)')
}

const marks = async (url: string): Promise<string[]> =>
  (await ask<{ mark: string }>(url, `SELECT what || ' ' || n AS mark FROM effects ORDER BY 1`)).map(
    (row) => row.mark,
  )

/** Nobody holds readers back, and everything is handled: `effects` has each event once. */
async function expectHandled(app: App, url: string, due: readonly number[]): Promise<void> {
  await drainJobs(app)
  const expected = due.map((n) => `handled ${n}`).toSorted()
  expect((await marks(url)).filter((one) => one.startsWith('handled'))).toEqual(expected)
}

const publishOnce = (app: App): Promise<unknown> =>
  app.publish(
    [1, 2, 3].map((n) => noted({ n })),
    { stream: 's', idempotencyKey: 'once' },
  )

const oneTransaction = (app: App): Promise<unknown> =>
  app.transaction(async ({ query, publish, spawn }) => {
    await mark({ query }, 'written', 0)
    publish([noted({ n: 1 }), noted({ n: 2 })])
    await spawn(settle, { n: 5 })
  })

/** A partition of the outbox for each hundred numbers, of which the first are handled by all. */
async function manyPartitions(app: App, url: string): Promise<void> {
  await tables(app, url)
  await ask(
    url,
    `DO $$ DECLARE name text; BEGIN
       FOR name IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'tidemark.events'::regclass AND c.relname <> 'events_default'
       LOOP EXECUTE format('DROP TABLE tidemark.%I', name); END LOOP;
     END $$; SELECT tidemark.ensure_partitions(6, 100)`,
  )
  await app.publish(Array.from({ length: 250 }, (_, n) => noted({ n })))
  await drain(app)
}

async function aDeadLetter(app: App, url: string): Promise<void> {
  await tables(app, url)
  await app.publish([1, 2, 3].map((n) => noted({ n })))
  await drain(app)
  await ask(url, `INSERT INTO effects VALUES ('healed', 0)`)
}

async function folded(app: App, url: string): Promise<void> {
  await tables(app, url)
  await app.publish([1, 2, 3].map((n) => noted({ n })))
  await drain(app)
}

async function expectFolded(app: App): Promise<void> {
  await drain(app)
  expect(await app.read(list)).toEqual([1, 2, 3])
}

const objects = (url: string): Promise<{ name: string }[]> =>
  ask(
    url,
    `SELECT c.relkind::text || ' ' || c.relname AS name FROM pg_class c WHERE c.relnamespace = 'tidemark'::regnamespace
     UNION ALL SELECT 'f ' || p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'tidemark'::regnamespace
     UNION ALL SELECT 'c ' || k.conname FROM pg_constraint k WHERE k.connamespace = 'tidemark'::regnamespace
       AND k.contype <> 'n'
     ORDER BY 1`,
  )
let complete: { name: string }[] | undefined

/** What callers and operators do, whose processes may end at any statement of it. */
export const deeds: Readonly<Record<string, Deed>> = {
  'a publish with an idempotency key': {
    modules: [noted, handled],
    before: tables,
    deed: publishOnce,
    after: async (app, url) => {
      await publishOnce(app).catch((error: unknown) => {
        if (!isTidemarkError(error, 'TIDEMARK_DUPLICATE_EVENT')) throw error
      })
      await app.publish(noted({ n: 4 }), { stream: 's', expectedVersion: 3n })
      await expectHandled(app, url, [1, 2, 3, 4])
    },
  },
  'a transaction with rows, events and a job': {
    modules: [noted, handled, settle],
    before: tables,
    deed: oneTransaction,
    after: async (app, url, done) => {
      const [first] = await ask<{ rows: number; events: number; jobs: number }>(
        url,
        `SELECT (SELECT count(*) FROM effects)::integer AS rows, (SELECT count(*) FROM tidemark.events)::integer AS events,
           (SELECT count(*) FROM tidemark.jobs)::integer AS jobs`,
      )
      const times = first?.rows ?? 0
      expect(done ? [1] : [0, 1]).toContain(times)
      expect(first).toEqual({ rows: times, events: times * 2, jobs: times })
      await oneTransaction(app)
      const each = Array.from({ length: times + 1 }, () => [1, 2]).flat()
      await expectHandled(app, url, each)
      expect((await marks(url)).filter((one) => one === 'settled 5')).toHaveLength(times + 1)
    },
  },
  'a job that is spawned once': {
    modules: [settle],
    before: tables,
    deed: (app) => app.jobs.spawn(settle, { n: 7 }, { id: '0198c0de-0000-7000-8000-000000000007' }),
    after: async (app, url) => {
      await app.jobs.spawn(settle, { n: 7 }, { id: '0198c0de-0000-7000-8000-000000000007' })
      await drainJobs(app)
      expect(await marks(url)).toEqual(['settled 7'])
    },
  },
  pruning: {
    modules: [noted, handled],
    before: manyPartitions,
    deed: (app) => app.outbox.prune(),
    after: async (app, url) => {
      await app.outbox.prune()
      const rows = await ask<{ name: string; pending: boolean }>(
        url,
        `SELECT c.relname AS name, i.inhdetachpending AS pending FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
         WHERE c.relnamespace = 'tidemark'::regnamespace AND c.relname ~ '^events_[0-9]+$' AND c.relkind = 'r'
         ORDER BY substr(c.relname, 8)::integer LIMIT 1`,
      )
      expect(rows).toEqual([{ name: 'events_200', pending: false }])
      const { prunedBelow, strays } = await app.outbox.stats()
      expect([prunedBelow, strays]).toEqual([200n, false])
      await app.publish(noted({ n: 250 }))
      await expectHandled(
        app,
        url,
        Array.from({ length: 251 }, (_, n) => n),
      )
    },
  },
  'a retry of dead letters': {
    modules: [noted, parking],
    before: aDeadLetter,
    deed: (app) => app.deadLetters.retry({ listener: 'parking' }),
    after: async (app, url) => {
      await app.deadLetters.retry({ listener: 'parking' }).catch((error: unknown) => {
        if (!isTidemarkError(error, 'TIDEMARK_UNKNOWN_DEAD_LETTER')) throw error
      })
      await drain(app)
      expect(await app.deadLetters.list()).toEqual([])
      expect(await marks(url)).toEqual(['healed 0', 'parking 1', 'parking 2', 'parking 3'])
    },
  },
  'a reset': {
    modules: [noted, list],
    before: folded,
    deed: (app) => app.reset(list),
    after: async (app) => {
      await app.reset(list)
      await expectFolded(app)
    },
  },
  'a rebuild that is asked for': {
    modules: [noted, list],
    before: folded,
    deed: (app) => app.rebuild(list),
    after: expectFolded,
  },
  'ticks of a schedule': {
    modules: [settle, hourly],
    before: async (app, url) => {
      await tables(app, url)
      await drainJobs(app)
      await ask(
        url,
        `UPDATE tidemark.schedules SET next_at = date_trunc('hour', now()) - interval '3 hours'`,
      )
    },
    deed: fireAll,
    after: async (app, url) => {
      await fireAll(app, url)
      const { length } = await marks(url)
      const ticks = await app.jobs.schedules.ticks('hourly')
      expect(ticks.map(({ outcome }) => outcome)).toEqual(ticks.map(() => 'fired'))
      // An hour may have begun meanwhile.
      expect([4, 5]).toContain(ticks.length)
      expect(length).toBe(ticks.length)
    },
  },
  'a migration': {
    modules: [],
    migrated: false,
    deed: ({ options }) => migrateUp({ connectionString: options.connectionString ?? '' }),
    after: async (_, url) => {
      await migrateUp({ connectionString: url })
      const status = await migrationStatus({ connectionString: url })
      expect(status.filter(({ state }) => state !== 'applied')).toEqual([])
      const made = await objects(url)
      complete ??= made
      expect(made).toEqual(complete)
    },
  },
}

async function fireAll(app: App, url: string, lives = () => true): Promise<void> {
  await using _ = await app.start({
    handleSignals: false,
    acquireInterval: 20,
    leaseDuration: 2_000,
    // Whoever is dead waits for nothing.
    drainTimeout: 1_000,
  })
  await expect
    .poll(
      async () =>
        lives()
          ? ask(
              url,
              `SELECT FROM tidemark.schedules WHERE next_at <= clock_timestamp()
          UNION ALL SELECT FROM tidemark.jobs WHERE status <> 'completed'`,
            )
          : [],
      { timeout: 30_000, interval: 20 },
    )
    .toEqual([])
}
