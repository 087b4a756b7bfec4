import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, startPostgres, type TestDatabase } from '@tidemark/testing'
import pg from 'pg'
import type { App } from 'tidemark'
import { expect, test } from 'vitest'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { keyedEffects } from '../support/keyed-effects.ts'
import { appOn } from '../support/test-app.ts'

const shared = useFreshDatabase()
const program = fileURLToPath(new URL('../support/programs/keyed-worker.ts', import.meta.url))
const { alone, batched } = keyedEffects('here')
const finished = `select count(*)::int from tidemark.jobs where status = 'completed'`

async function spawnAll(app: App, count: number): Promise<void> {
  await app.transaction(async ({ spawn }) => {
    for (let n = 0; n < count; n++) {
      await spawn(n % 2 === 0 ? alone : batched, { n, key: Math.floor(n / 2) % 7 })
    }
  })
}

/** What has become of the jobs when all have ended: how often they had their effects, and beside whom. */
async function outcome(database: TestDatabase): Promise<unknown> {
  await until(
    database,
    `select count(*)::int from tidemark.jobs where status not in ('completed', 'failed', 'cancelled')`,
    0,
  )
  const jobs = await database.query(
    `select status, count(*)::int as jobs from tidemark.jobs group by status`,
  )
  const effects = await database.query(
    `select listener as how, count(*)::int as effects, count(distinct sequence)::int as jobs
     from effects group by listener`,
  )
  return [...jobs.rows, ...effects.rows]
}

/** Each has completed, and had its effect once; none with its key was at work meanwhile. */
function onceEach(count: number): unknown {
  return [
    { status: 'completed', jobs: count },
    { how: 'by itself', effects: count, jobs: count },
  ]
}

/** Waits until so many more have completed than had, or all have. */
async function progressed(database: TestDatabase, by: number): Promise<void> {
  const { rows } = await database.query<{ count: number }>(finished)
  const goal = (rows[0]?.count ?? 0) + by
  const enough = `select count(*) filter (where status = 'completed') >= least(${goal}, count(*)) from tidemark.jobs`
  await until(database, enough, true)
}

test('a server that crashes twice under running jobs: none is lost, no effect happens twice', async () => {
  await using server = await startPostgres({ source: 'embedded', durable: true })
  await using database = await createTestDatabase({ server, template: effectsTemplate })
  await using one = appOn(database, [alone, batched])
  await using two = appOn(database, [alone, batched])
  await spawnAll(one, 600)
  await one.start()
  await two.start()
  for (let crash = 0; crash < 2; crash++) {
    await progressed(database, 20)
    await server.kill()
    await server.restart()
  }
  expect(await outcome(database)).toEqual(onceEach(600))
})

test('all connections killed again and again under running jobs: none is lost, no effect happens twice', async () => {
  await using one = appOn(shared, [alone, batched])
  await using two = appOn(shared, [alone, batched])
  await spawnAll(one, 600)
  await one.start()
  await two.start()
  for (let round = 0; round < 5; round++) {
    await progressed(shared, 20)
    await shared.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and application_name ~ '^tidemark (worker|jobs|doorbell)'`,
    )
  }
  expect(await outcome(shared)).toEqual(onceEach(600))
})

test('an application that uses up its own pool does not stop its jobs', async () => {
  await using app = appOn(shared, [alone, batched], { maxConnections: 4 })
  await spawnAll(app, 40)
  const held = Promise.withResolvers<void>()
  const entered = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const holding = entered.map(({ resolve }) =>
    app.transaction(async (tx) => {
      await tx.query('select 1')
      resolve()
      await held.promise
    }),
  )
  await Promise.all(entered.map(({ promise }) => promise))
  try {
    await app.start({ jobs: { connections: 1 } })
    expect(await outcome(shared)).toEqual(onceEach(40))
  } finally {
    held.resolve()
    await Promise.all(holding)
  }
})

test('a server without a free connection holds jobs up, and loses none', async () => {
  await using server = await startPostgres({
    source: 'embedded',
    settings: { max_connections: '20' },
  })
  await using database = await createTestDatabase({ server, template: effectsTemplate })
  await using app = appOn(database, [alone, batched], { maxConnections: 4 })
  await spawnAll(app, 100)
  await app.start({ maxConnections: 4, jobs: { connections: 10 } })
  await progressed(database, 10)
  const hogs = await takeAllConnections(database.url)
  try {
    // What is connected goes on; what would connect is refused.
    await progressed(database, 5)
  } finally {
    await Promise.all(hogs.map((hog) => hog.end()))
  }
  expect(await outcome(database)).toEqual(onceEach(100))
})

async function takeAllConnections(url: string): Promise<readonly pg.Client[]> {
  const taken: pg.Client[] = []
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    try {
      await client.connect()
    } catch (error) {
      if ((error as { code?: string }).code === '53300') return taken
      throw error
    }
    taken.push(client)
  }
}

class Worker implements AsyncDisposable {
  readonly child: ChildProcess
  readonly #ended: Promise<unknown>

  private constructor(name: string, lease: number) {
    this.child = fork(program, [shared.url, name, String(lease)], {
      execArgv: ['--conditions=@tidemark/source'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    this.#ended = once(this.child, 'exit')
  }

  static async start(name: string, lease: number): Promise<Worker> {
    const worker = new Worker(name, lease)
    await once(worker.child, 'message')
    return worker
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }
}

test('processes frozen past their leases, thawed and killed: jobs with one key never side by side, each effect once', async () => {
  const lease = 2_000
  await using app = appOn(shared, [alone, batched])
  await spawnAll(app, 600)
  await using frozen = await Worker.start('frozen', lease)
  await using killed = await Worker.start('killed', lease)
  const lost = `select count(*)::int from tidemark.job_attempts where outcome = 'lost'`
  await progressed(shared, 20)
  frozen.child.kill('SIGSTOP')
  // Its jobs were taken from it while it stood still.
  await until(shared, `select exists (${lost} having count(*) > 0)`, true)
  killed.child.kill('SIGKILL')
  frozen.child.kill('SIGCONT')
  await progressed(shared, 20)
  await using last = await Worker.start('last', lease)
  await progressed(shared, 20)
  frozen.child.kill('SIGKILL')
  expect(await outcome(shared)).toEqual(onceEach(600))
  expect(last.child.exitCode).toBe(null)
})
