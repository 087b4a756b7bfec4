import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { defineJob, defineQueue, type App } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const quiet = { handleSignals: false }
const completed = `select count(*)::int from tidemark.jobs where status = 'completed'`
const running = `select count(*)::int from tidemark.jobs where status = 'running'`

/** Counts who is inside, and the most that ever were. */
class Room {
  most = 0
  #inside = 0

  async visit(): Promise<void> {
    this.#inside += 1
    this.most = Math.max(this.most, this.#inside)
    await new Promise((resolve) => setImmediate(resolve))
    this.#inside -= 1
  }
}

async function spawnAll(app: App, job: string, inputs: readonly unknown[]): Promise<void> {
  await app.transaction(async ({ spawn }) => {
    for (const input of inputs) await spawn(job, input)
  })
}

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

test('as many jobs of a type run side by side as its limit says, in two processes together', async () => {
  const room = new Room()
  const limited = defineJob('limited', {
    input: z.number(),
    limit: { concurrency: 3 },
    run: () => room.visit(),
  })
  const free = defineJob('free', { input: z.number(), run: () => {} })
  await using one = appOn(database, [limited, free])
  await using two = appOn(database, [limited, free])
  await one.start(quiet)
  await two.start(quiet)
  await spawnAll(one, 'limited', upTo(60))
  await spawnAll(two, 'free', upTo(60))
  await until(database, completed, 120)
  expect(room.most).toBeLessThanOrEqual(3)
  expect(room.most).toBeGreaterThan(1)
})

test("a queue's limit holds for all of its types together", async () => {
  const room = new Room()
  const narrow = defineQueue('narrow', { concurrency: 2 })
  const jobs = ['a', 'b', 'c'].map((name) =>
    defineJob(name, { queue: narrow, input: z.number(), run: () => room.visit() }),
  )
  await using one = appOn(database, jobs)
  await using two = appOn(database, jobs)
  await one.start(quiet)
  await two.start(quiet)
  for (const { name } of jobs) await spawnAll(one, name, upTo(15))
  await until(database, completed, 45)
  expect(room.most).toBe(2)
})

test('keys and the limit of the type hold together', async () => {
  const room = new Room()
  const rooms = new Map(upTo(5).map((key) => [key, new Room()]))
  const keyed = defineJob('keyed', {
    input: z.number(),
    concurrencyKey: (n) => `k${n % 5}`,
    limit: { concurrency: 3 },
    run: async ({ input }) => {
      await Promise.all([room.visit(), rooms.get(input % 5)?.visit()])
    },
  })
  await using one = appOn(database, [keyed])
  await using two = appOn(database, [keyed])
  await one.start(quiet)
  await two.start(quiet)
  await spawnAll(one, 'keyed', upTo(60))
  await until(database, completed, 60)
  expect(room.most).toBeLessThanOrEqual(3)
  expect([...rooms.values()].map(({ most }) => most)).toEqual(upTo(5).map(() => 1))
})

test('no more jobs start in any stretch of time than their rate says, by key or by queue, whatever the rate', async () => {
  const scenario = fc.record({
    limit: fc.integer({ min: 1, max: 5 }),
    per: fc.integer({ min: 100, max: 400 }),
    keys: fc.integer({ min: 1, max: 3 }),
    jobs: fc.integer({ min: 4, max: 14 }),
    by: fc.constantFrom('type', 'queue'),
  })
  let round = 0
  await fc.assert(
    fc.asyncProperty(scenario, async ({ limit, per, keys, jobs, by }) => {
      const name = `rated_${round++}`
      const rate = { limit, per }
      const rated = defineJob(name, {
        input: z.number(),
        queue: by === 'queue' ? defineQueue(name, { rate }) : name,
        ...(by === 'type'
          ? { limit: { rate: { ...rate, key: (n: number) => `k${n % keys}` } } }
          : {}),
        run: () => {},
      })
      await using one = appOn(database, [rated])
      await using two = appOn(database, [rated])
      await one.start(quiet)
      await two.start(quiet)
      await spawnAll(one, name, upTo(jobs))
      await until(database, `${completed} and name = $1`, jobs, [name])
      const { rows } = await database.query<{ starts: number[] }>(
        `select array_agg(extract(epoch from started_at)::float8 * 1000 order by started_at) as starts
         from tidemark.jobs where name = $1 group by ${by === 'queue' ? 'name' : 'rate_key'}`,
        [name],
      )
      for (const { starts } of rows) {
        for (let i = 0; i + limit < starts.length; i++) {
          expect((starts[i + limit] ?? 0) - (starts[i] ?? 0)).toBeGreaterThanOrEqual(per)
        }
      }
    }),
    { numRuns: 8 },
  )
})

test('a limit that is declared later holds for what waits already and for what SQL spawns, and lets go when it is taken back', async () => {
  const define = (limit: object) =>
    defineJob('late', {
      input: z.number(),
      ...limit,
      run: async (job) => {
        if (job.input < 0) await latch.pass()
      },
    })
  const latch = new Latch()
  const free = define({})
  {
    await using app = appOn(database, [free])
    await spawnAll(app, 'late', [-1, -2, -3])
  }
  {
    await using app = appOn(database, [define({ limit: { concurrency: 1 } })])
    await app.start({ ...quiet, leaseDuration: 1_000 })
    await database.query(`select tidemark.spawn('late', '-4')`)
    await until(database, `select count(*)::int from tidemark.jobs where parked = 'limit'`, 3)
    await until(database, running, 1)
    await using other = appOn(database, [free])
    await other.start({ ...quiet, leaseDuration: 1_000 })
    await until(database, running, 4)
    expect(latch.count).toBe(4)
    latch.open()
    await until(database, completed, 4)
  }
})

test('a job that is put off, paused or retried under a limit comes back under it', async () => {
  const room = new Room()
  const limited = defineJob('limited', {
    input: z.number(),
    limit: { concurrency: 1 },
    retry: { attempts: 3, backoff: () => 1 },
    run: async (job, ctx) => {
      await room.visit()
      if (job.attempt < 3 && job.input % 2 === 0) throw new Error('as told')
      await ctx.sleep('nap', 5)
    },
  })
  await using app = appOn(database, [limited])
  await app.start(quiet)
  await spawnAll(app, 'limited', upTo(10))
  await until(database, completed, 10)
  expect(room.most).toBe(1)
})

test('claims of two queues do not take turns at keys whose jobs are in the other queue', async () => {
  const rated = defineJob('rated', {
    input: z.number(),
    limit: { concurrency: 1, rate: { limit: 10, per: '1h', key: String } },
    run: () => {},
  })
  await using app = appOn(database, [rated])
  const declaring = await app.start(quiet)
  await declaring.stop()
  await app.jobs.spawn(rated, 1, { queue: 'far' })
  await app.jobs.spawn(rated, 2)
  const claim = (most: number): Promise<{ rows: unknown[] }> =>
    database.query(
      `select input from tidemark.claim_jobs(gen_random_uuid(), 'default', '{rated}', $1)`,
      [most],
    )
  await claim(0)
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'limit'`, 2)
  await database.query(
    `update tidemark.job_rates set ready_at = now() - case key when '1' then interval '1 h' else interval '1 m' end`,
  )
  expect((await claim(1)).rows).toEqual([{ input: 2 }])
})

test('claiming costs the same in front of 20,000 jobs that wait for a rate, and of 2,000 keys that do', async () => {
  const limit = { rate: { limit: 1, per: '1h' } } as const
  const rated = defineJob('rated', { input: z.number(), limit, run: () => {} })
  const keyed = defineJob('keyed', {
    input: z.number(),
    limit: { rate: { ...limit.rate, key: (n) => `k${n % 2000}` } },
    run: () => {},
  })
  const other = defineJob('other', { input: z.number(), run: () => {} })
  await using app = appOn(database, [rated, keyed, other])
  const declaring = await app.start(quiet)
  await declaring.stop()
  await spawnAll(app, 'rated', upTo(20_000))
  await spawnAll(app, 'keyed', upTo(4_000))
  const claim = `select * from tidemark.claim_jobs(gen_random_uuid(), 'default', '{rated,keyed,other}', 100)`
  // Each job is looked at once, 500 at a time; then every key has had its start.
  for (let n = 0; n < 80; n++) await database.query(claim)
  await until(database, running, 2_001)
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'limit'`, 21_999)
  for (const table of ['jobs', 'job_rates']) await database.query(`vacuum tidemark.${table}`)
  const client = await database.connect()
  // Until its plans are those that it keeps: planning looks at blocks, too.
  for (let n = 0; n < 6; n++) await client.query(claim)
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
    `explain (analyze, buffers, format json) ${claim}`,
  )
  await client.end()
  const plan = rows[0]?.['QUERY PLAN'][0].Plan
  expect((plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0)).toBeLessThan(60)
})

const program = fileURLToPath(new URL('../support/programs/job-worker.ts', import.meta.url))

/** A worker in a process of its own, whose jobs wait until they are told to go on. */
async function startWorker(name: string): Promise<ChildProcess> {
  const options = { url: database.url, name, leaseDuration: 2_000, limit: 2 }
  const child = fork(program, [JSON.stringify(options)], {
    execArgv: ['--conditions=@tidemark/source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  await once(child, 'message')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

test('the slots of a limit are free again when the processes that held them were killed with -9', async () => {
  const effect = defineJob('effect', {
    input: z.object({ n: z.number(), hold: z.literal('outside') }),
    limit: { concurrency: 2 },
    run: () => {},
  })
  await using app = appOn(database, [effect])
  const killed = [await startWorker('one'), await startWorker('two')]
  await spawnAll(
    app,
    'effect',
    upTo(5).map((n) => ({ n, hold: 'outside' })),
  )
  await until(database, running, 2)
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'limit'`, 3)
  for (const child of killed) await kill(child)
  const last = await startWorker('last')
  last.on('message', ({ what }: { what: string }) => what === 'began' && last.send('go on'))
  await until(database, completed, 5)
  const { rows } = await database.query<{ most: number }>(
    `select max((select count(*) from tidemark.jobs o
       where o.started_at <= j.started_at and o.finished_at > j.started_at))::int as most from tidemark.jobs j`,
  )
  expect(rows[0]?.most).toBeLessThanOrEqual(2)
  const lost = `select count(*)::int from tidemark.job_attempts where outcome = 'lost'`
  await until(database, lost, 2)
  await kill(last)
})

test('limits that limit nothing, and two queues of one name, are refused', () => {
  const job = (limit: object) => defineJob('j', { input: z.number(), limit, run: () => {} })
  expect(() => job({})).toThrow(/limits nothing/u)
  expect(() => job({ concurrency: 0 })).toThrow(/TIDEMARK_INVALID_OPTION/u)
  expect(() => job({ rate: { limit: 1, per: 0 } })).toThrow(/TIDEMARK_INVALID_OPTION/u)
  expect(() => job({ concurency: 1 })).toThrow(/no option "concurency"/u)
  const twice = [1, 2].map((concurrency) => defineQueue('q', { concurrency }))
  expect(() => appOn(database, twice)).toThrow(/TIDEMARK_NAME_TAKEN/u)
})
