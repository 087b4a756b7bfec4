import {
  drain,
  drainJobs,
  explore,
  skipBackoff,
  startPostgres,
  type Scenario,
  type TestDatabase,
} from '@tidemark/testing'
import pg from 'pg'
import {
  defineApp,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  silentLogger,
  type App,
  type Module,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { bury, work } from '../../packages/testing/src/explore/telling.ts'
import { realNow } from '../../packages/testing/src/kit/real-time.ts'
import { atEachStatement, type Deed } from './statement-by-statement.ts'

/**
 * The worker dies, or loses a connection, before and after each statement that it sends. A telling takes half a second
 * or more, so the suite tries a few; `CRASH_SECONDS=600 npm test -- crash-points` tries them all.
 */
const budget = Number(process.env['CRASH_SECONDS'] ?? 0.5) * 1000
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 1_000_000))

const noted = defineEvent('crash.noted', { payload: z.object({ n: z.number() }) })
const answered = defineEvent('crash.answered', { payload: z.object({ n: z.number() }) })

const template = {
  key: 'crash-points-1',
  async prepare(url: string): Promise<void> {
    await using app = defineApp({ modules: [noted], connectionString: url, logger: silentLogger })
    await app.transaction(async ({ query }) => {
      await query('CREATE TABLE effects (what text NOT NULL, n integer NOT NULL)')
      await query('CREATE TABLE entries (n integer NOT NULL, release integer NOT NULL)')
    })
  },
}

const settle = defineJob('settle', {
  input: z.object({ n: z.number() }),
  transact: (job, { tx }) => mark(tx, 'settled', job.input.n),
})
const story = defineJob('story', {
  input: z.object({ n: z.number() }),
  run: async (job, context) => {
    const { n } = job.input
    await context.step('look', () => n)
    await context.transaction(({ tx }) => mark(tx, 'posted', n), { step: 'post' })
    await Promise.all([context.child('left', settle, { n: n * 10 }), context.sleep('pause', 5)])
    await context.transaction(async ({ tx, complete }) => {
      await mark(tx, 'ended', n)
      complete()
    })
  },
})
const waiting = defineJob('waiting', {
  input: z.object({ n: z.number() }),
  run: async (job, context) => {
    const { n } = job.input
    const event = await context.waitForEvent('answer', answered, { key: `n-${n}` })
    await context.transaction(({ tx }) => mark(tx, 'heard', event?.payload.n ?? 0), {
      step: 'hear',
    })
  },
})
const effects = defineListener('effects', { retry: { attempts: 100 } }).on(
  noted,
  async (event, { tx, publish, spawn }) => {
    const { n } = event.payload
    await mark(tx, 'handled', n)
    publish(answered({ n }), { key: `n-${n}` })
    if (n % 2 === 0) await spawn(settle, { n })
  },
)
const parking = defineListener('parking', {
  retry: { attempts: 2, backoff: () => 0 },
  onFailure: 'park',
}).on(noted, async (event, { tx }) => {
  await mark(tx, 'parking', event.payload.n)
  const { rows } = await tx.query(`SELECT FROM effects WHERE what = 'healed'`)
  if (event.payload.n === 2 && rows.length === 0) throw new Error('not yet')
})

async function mark(
  tx: { query(text: string, values: unknown[]): Promise<unknown> },
  what: string,
  n: number,
): Promise<void> {
  await tx.query('INSERT INTO effects VALUES ($1, $2)', [what, n])
}

function projections(version: number) {
  const initial = (): number[] => []
  return {
    list: defineProjection('list', { version, initial }).on(noted, (list, { payload }) => [
      ...list,
      payload.n * version,
    ]),
    keyed: defineProjection('keyed', { version, keyed: true, partitions: 2, initial }).on(
      noted,
      (list, { payload }) => [...list, payload.n * version],
      { key: ({ payload }) => `k-${payload.n % 3}` },
    ),
    entries: defineProjection('entries', { version, tables: ['entries'] }).on(
      noted,
      async ({ payload }, { tx }) => {
        await tx.query('INSERT INTO entries VALUES ($1, $2)', [payload.n, version])
      },
    ),
  }
}

const appWith = (modules: readonly Module[], url = 'postgres://nowhere'): App =>
  defineApp({ modules, connectionString: url, logger: silentLogger })

/** Publishes 1 to `count` and has another release handle it, which nothing happens to. */
async function before(app: App, modules: readonly Module[], count: number): Promise<void> {
  const { connectionString = '' } = app.options
  await using old = appWith(modules, connectionString)
  for (let n = 1; n <= count; n++) await old.publish(noted({ n }))
  await drain(old)
}

async function marks(database: TestDatabase): Promise<string[]> {
  const { rows } = await database.query<{ mark: string }>(
    `SELECT what || ' ' || n AS mark FROM effects ORDER BY 1`,
  )
  return rows.map(({ mark: one }) => one)
}

/** Everything is the fold of 1 to `count` by this version. */
async function expectFolded(app: App, database: TestDatabase, version: number, count: number) {
  const all = Array.from({ length: count }, (_, n) => (n + 1) * version)
  const { list, keyed } = projections(version)
  expect(await app.read(list)).toEqual(all)
  for (const key of [0, 1, 2]) {
    const due = all.filter((n) => (n / version) % 3 === key)
    expect((await app.read(keyed, `k-${key}`)) ?? []).toEqual(due)
  }
  const { rows } = await database.query<{ n: number }>(
    'SELECT n FROM entries WHERE release = $1 ORDER BY n',
    [version],
  )
  expect(rows.map(({ n }) => n * version)).toEqual(all)
}

const next = projections(2)
const scenarios: Readonly<Record<string, readonly [readonly Module[], Scenario]>> = {
  'batches with effects, events and jobs': [
    [{ noted, answered, settle, effects, ...projections(1) }],
    {
      template,
      when: async (app) => {
        for (const n of [1, 2, 3, 4]) await app.publish(noted({ n }))
      },
      invariant: async (app, database) => {
        expect(await marks(database)).toEqual([
          'handled 1',
          'handled 2',
          'handled 3',
          'handled 4',
          'settled 2',
          'settled 4',
        ])
        const { rows } = await database.query(
          `SELECT payload ->> 'n' FROM tidemark.events WHERE type = 'crash.answered'`,
        )
        expect(rows).toHaveLength(4)
        await expectFolded(app, database, 1, 4)
      },
    },
  ],
  'a dead letter and its retry': [
    [{ noted, parking }],
    {
      template,
      when: async (app) => {
        await before(app, [{ noted, parking }], 3)
        await app.transaction(({ query }) => mark({ query }, 'healed', 0))
        await app.deadLetters.retry({ listener: 'parking' })
        await app.publish(noted({ n: 4 }))
      },
      invariant: async (app, database) => {
        const due = ['healed 0', 'parking 1', 'parking 2', 'parking 3', 'parking 4']
        expect(await marks(database)).toEqual(due)
        expect(await app.deadLetters.list()).toEqual([])
      },
    },
  ],
  'an event that is set aside': [
    [{ noted, parking }],
    {
      template,
      when: (app) => app.publish([1, 2, 3].map((n) => noted({ n }))),
      invariant: async (app, database) => {
        expect(await marks(database)).toEqual(['parking 1', 'parking 3'])
        expect(await app.deadLetters.list()).toMatchObject([{ state: 'parked' }])
      },
    },
  ],
  'a rebuild and its switch': [
    [{ noted, ...next }],
    {
      template,
      when: async (app) => {
        await before(app, [{ noted, ...projections(1) }], 5)
        await app.publish(noted({ n: 6 }))
      },
      invariant: (app, database) => expectFolded(app, database, 2, 6),
    },
  ],
  'another number of partitions': [
    [{ noted, effects: defineListener('sized', { partitions: 3 }).on(noted, sized) }],
    {
      template,
      when: async (app) => {
        const old = defineListener('sized', { partitions: 2 }).on(noted, sized)
        await before(app, [{ noted, old }], 5)
        await app.publish([6, 7].map((n) => noted({ n })))
      },
      invariant: async (_, database) => {
        expect(await marks(database)).toEqual([1, 2, 3, 4, 5, 6, 7].map((n) => `sized ${n}`))
      },
    },
  ],
  'a projection that becomes inline': [
    [
      {
        noted,
        list: defineProjection('list', { version: 2, mode: 'inline', initial: () => 0 }).on(
          noted,
          sum,
        ),
      },
    ],
    {
      template,
      when: (app) =>
        before(
          app,
          [
            {
              noted,
              list: defineProjection('list', { version: 1, initial: () => 0 }).on(noted, sum),
            },
          ],
          4,
        ),
      invariant: async (app) => {
        await app.publish(noted({ n: 5 }))
        expect(
          await app.read(
            defineProjection('list', { version: 2, mode: 'inline', initial: () => 0 }),
          ),
        ).toBe(15)
      },
    },
  ],
  'a projection that is no longer inline': [
    [{ noted, list: defineProjection('list', { version: 2, initial: () => 0 }).on(noted, sum) }],
    {
      template,
      when: async (app) => {
        const inline = defineProjection('list', { version: 1, mode: 'inline', initial: () => 0 })
        await before(app, [{ noted, list: inline.on(noted, sum) }], 4)
        await app.publish(noted({ n: 5 }))
      },
      invariant: async (app) => {
        expect(await app.read(defineProjection('list', { version: 2, initial: () => 0 }))).toBe(15)
      },
    },
  ],
  'steps, children and a completion': [
    [{ settle, story }],
    {
      template,
      when: (app) => app.jobs.spawn(story, { n: 1 }),
      invariant: async (_, database) => {
        expect(await marks(database)).toEqual(['ended 1', 'posted 1', 'settled 10'])
      },
    },
  ],
  'the end of a wait': [
    [{ answered, waiting }],
    {
      template,
      when: async (app) => {
        await app.jobs.spawn(waiting, { n: 1 })
        const { connectionString = '' } = app.options
        await using first = appWith([{ answered, waiting }], connectionString)
        await drainJobs(first)
        await app.publish(answered({ n: 1 }), { key: 'n-1' })
      },
      invariant: async (_, database) => expect(await marks(database)).toEqual(['heard 1']),
    },
  ],
}

async function sized(
  event: { readonly payload: { readonly n: number } },
  { tx }: { readonly tx: { query(text: string, values: unknown[]): Promise<unknown> } },
): Promise<void> {
  await mark(tx, 'sized', event.payload.n)
}

function sum(total: number, event: { readonly payload: { readonly n: number } }): number {
  return total + event.payload.n
}

test.each(Object.entries(scenarios))(
  '%s: the worker dies at each statement, and nothing is lost or done twice',
  async (_, [modules, scenario]) => {
    const { statements, tried, complete } = await explore(appWith(modules), scenario, {
      seed,
      budget,
    })
    if (process.env['CRASH_SECONDS'] !== undefined) {
      console.log(
        `${statements} statements, ${tried} schedules, ${complete ? 'each' : 'not each'} tried, seed ${seed}`,
      )
    }
    expect(statements).toBeGreaterThan(0)
    expect(tried).toBeGreaterThan(0)
  },
  budget + 120_000,
)

/** What a worker makes of a scenario, as something that is done again when it ended at a statement. */
function workOf(modules: readonly Module[], { when, invariant }: Scenario): Deed {
  const onto = async (
    url: string,
    what: (database: TestDatabase, watcher: App) => unknown,
  ): Promise<void> => {
    const pool = new pg.Pool({ connectionString: url, max: 2 })
    // Its statements say so.
    pool.on('error', () => {})
    try {
      await using watcher = appWith(modules, url)
      using _ = skipBackoff(watcher)
      const query = (text: string, values?: unknown[]) => pool.query(text, values)
      await what({ schema: 'tidemark', query } as unknown as TestDatabase, watcher)
    } finally {
      await pool.end()
    }
  }
  return {
    modules,
    before: async (app, url) => {
      await template.prepare(url)
      await when(app)
    },
    deed: (app, url) =>
      onto(url, (database, watcher) => work(app, watcher, database, realNow() + 20_000)),
    after: (app, url) =>
      onto(url, async (database, watcher) => {
        await bury(database)
        await work(app, watcher, database, realNow() + 60_000)
        await invariant(watcher, database)
      }),
  }
}

test(
  'the same where the server crashes',
  async () => {
    await using server = await startPostgres({ source: 'embedded' })
    const all = Object.values(scenarios)
    // A crash takes seconds: one of them, by the seed.
    const chosen =
      process.env['CRASH_SECONDS'] === undefined
        ? all.filter((_, index) => index === seed % all.length)
        : all
    for (const [modules, scenario] of chosen) {
      const { statements, tried } = await atEachStatement(workOf(modules, scenario), {
        seed,
        budget,
        server,
      })
      expect(tried).toBeGreaterThan(0)
      if (process.env['CRASH_SECONDS'] !== undefined)
        console.log(`${statements} statements, ${tried} crashes of the server, seed ${seed}`)
    }
  },
  budget * 10 + 240_000,
)
