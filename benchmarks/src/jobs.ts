import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { Logger, makeWorkerUtils, run as runGraphile, type RunnerOptions } from 'graphile-worker'
import { PgBoss } from 'pg-boss'
import { defineApp, defineJob, type JobDefinition } from 'tidemark'
import { z } from 'zod'
import { interleave, selectCases, type Case } from './measure.ts'
import { ratesTable, type Report } from './report.ts'
import type { Bench } from './server.ts'

const effects = 'CREATE TABLE job_effects (n integer NOT NULL)'
const input = z.object({ n: z.number() })
const statement = 'INSERT INTO job_effects (n) VALUES ($1::integer)'

/**
 * Jobs from a full queue to an empty one: jobs that do nothing, and jobs whose one effect is a row that commits with
 * them. Peers with the same connections and the same number of jobs side by side; each case starts with an empty
 * database.
 */
export async function jobs({ options, server, progress }: Bench): Promise<Report> {
  const count = options.events ?? 50_000
  const withDatabase = async (
    work: (database: TestDatabase) => Promise<number>,
  ): Promise<number> => {
    await using database = await createTestDatabase({ server })
    await database.query(effects)
    return count / (await work(database))
  }
  const batched = 'graphile-worker: empty, batched (localQueue 500, completeJobBatchDelay 0)'
  const byDefault = 'graphile-worker: empty, default'
  const effect = 'graphile-worker: one row each'
  const cases: readonly Case[] = [
    { name: byDefault, measure: () => withDatabase((db) => graphile(db, count, 'empty', {})) },
    {
      name: batched,
      measure: () =>
        withDatabase((db) =>
          graphile(db, count, 'empty', {
            preset: {
              worker: {
                localQueue: { size: 500 },
                completeJobBatchDelay: 0,
                failJobBatchDelay: 0,
              },
            },
          }),
        ),
    },
    {
      name: 'tidemark: empty, history kept',
      against: batched,
      measure: () => withDatabase((db) => tidemark(db, count, empty())),
    },
    {
      name: 'pg-boss: empty, batches of 500',
      measure: () => withDatabase((db) => pgBoss(db, count)),
    },
    { name: effect, measure: () => withDatabase((db) => graphile(db, count, 'effect', {})) },
    {
      name: 'tidemark: one row each, in the commit of the job (transact)',
      against: effect,
      measure: () => withDatabase((db) => tidemark(db, count, transactional(), true)),
    },
  ]
  const results = await interleave(selectCases(cases, options.only), options.runs, progress)
  const title = `jobs: jobs a second, ${count.toLocaleString('en')} queued jobs, ${concurrency} side by side`
  return { name: 'jobs', tables: [ratesTable(title, results)], results }
}

const concurrency = 24
// How often the queue is looked at, to see whether it is empty.
const look = 10
const quiet = new Logger(() => () => {})

const empty = (): JobDefinition => defineJob('empty', { input, run: () => {} })

const transactional = (): JobDefinition =>
  defineJob('effect', {
    input,
    transact: async (job, { tx }) => void (await tx.query(statement, [job.input.n])),
  })

/** Seconds from the start of a worker to the end of the last job. */
async function tidemark(
  database: TestDatabase,
  count: number,
  job: JobDefinition,
  withEffects = false,
): Promise<number> {
  await using app = defineApp({ modules: [job], connectionString: database.url })
  await app.transaction(async ({ spawn }) => {
    for (let n = 0; n < count; n++) await spawn(job, { n })
  })
  const started = performance.now()
  await app.start({ handleSignals: false, jobs: { concurrency } })
  await untilDone(async () => {
    const { rows } = await database.query<{ left: number }>(
      `SELECT count(*)::integer AS left FROM (
         SELECT FROM tidemark.jobs WHERE status IN ('queued', 'running') LIMIT 1) AS one`,
    )
    return rows[0]?.left === 0
  })
  const seconds = (performance.now() - started) / 1000
  if (withEffects) await requireEffects(database, count)
  return seconds
}

async function graphile(
  database: TestDatabase,
  count: number,
  task: 'empty' | 'effect',
  options: Partial<RunnerOptions>,
): Promise<number> {
  const utils = await makeWorkerUtils({ connectionString: database.url })
  await utils.migrate()
  await database.query(
    `SELECT graphile_worker.add_job($1, json_build_object('n', n)) FROM generate_series(1, $2::integer) AS n`,
    [task, count],
  )
  const started = performance.now()
  const runner = await runGraphile({
    connectionString: database.url,
    concurrency,
    maxPoolSize: 10,
    noHandleSignals: true,
    pollInterval: 1000,
    logger: quiet,
    taskList: {
      empty: () => {},
      effect: async (payload, helpers) => {
        await helpers.query(statement, [(payload as { n: number }).n])
      },
    },
    ...options,
  })
  await untilDone(async () => {
    const { rows } = await database.query<{ left: number }>(
      `SELECT count(*)::integer AS left FROM (SELECT FROM graphile_worker._private_jobs LIMIT 1) AS one`,
    )
    return rows[0]?.left === 0
  })
  const seconds = (performance.now() - started) / 1000
  await runner.stop()
  await utils.release()
  if (task === 'effect') await requireEffects(database, count)
  return seconds
}

/** With its own batches; its completed jobs stay in its table, as here. */
async function pgBoss(database: TestDatabase, count: number): Promise<number> {
  const boss = new PgBoss({
    connectionString: database.url,
    max: 10,
    supervise: false,
    schedule: false,
  })
  boss.on('error', () => {})
  await boss.start()
  await boss.createQueue('empty')
  for (let start = 0; start < count; start += 1000) {
    const page = Array.from({ length: Math.min(1000, count - start) }, (_, n) => ({
      data: { n: start + n },
    }))
    await boss.insert('empty', page)
  }
  const started = performance.now()
  let left = count
  const done = Promise.withResolvers<void>()
  for (let worker = 0; worker < 4; worker++) {
    await boss.work('empty', { batchSize: 500, pollingIntervalSeconds: 0.5 }, async (batch) => {
      left -= batch.length
      if (left <= 0) done.resolve()
    })
  }
  await done.promise
  const seconds = (performance.now() - started) / 1000
  await boss.stop({ graceful: true, close: true })
  return seconds
}

async function untilDone(done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await delay(look)
}

async function requireEffects(database: TestDatabase, count: number): Promise<void> {
  const { rows } = await database.query<{ rows: number }>(
    'SELECT count(*)::integer AS rows FROM job_effects',
  )
  if (rows[0]?.rows !== count) throw new Error(`${rows[0]?.rows} effects of ${count} jobs`)
}
