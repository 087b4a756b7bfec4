import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { ratesChart } from './chart.ts'
import { cpuTimeOf, type CpuTime } from './cpu-time.ts'
import { graphile, graphileBatched, pgBoss } from './job-peers.ts'
import { concurrency, tidemark, type Queue, type Task } from './job-queue.ts'
import { interleave, quantile, ratioOf, selectCases, type Case, type Measured } from './measure.ts'
import { ratesTable, type Report, type Table } from './report.ts'
import type { Bench } from './server.ts'
import { atLeast, type Reached } from './targets.ts'

const nothing: Task = () => {}
const oneRow: Task = async (n, sql) => {
  await sql.query('INSERT INTO job_effects (n) VALUES ($1::integer)', [n])
}

const batched = 'graphile-worker: empty, batched (localQueue 500, completeJobBatchDelay 0)'
const empty = 'tidemark: empty, history kept'
const transactional = 'tidemark: one row each, in the commit of the job (transact)'

interface Cost extends CpuTime {
  readonly walBytes: number
}

/**
 * Jobs from a full queue to an empty one: jobs that do nothing, and jobs whose one effect is a row that commits with
 * them. Peers with the same connections and the same number of jobs side by side; each case starts with a database of
 * its own. Of each, also what a job costs: processor time and log, which other load on the machine does not change.
 */
export async function jobs({ options, server, progress }: Bench): Promise<Report> {
  const count = options.events ?? 30_000
  const costs = new Map<string, Cost[]>()
  const measured = (
    name: string,
    prepare: (database: TestDatabase) => Promise<Queue>,
    effects = 0,
    against?: string,
  ): Case => ({
    name,
    ...(against === undefined ? {} : { against }),
    measure: async () => {
      await using database = await createTestDatabase({ server })
      await database.query('CREATE TABLE job_effects (n integer NOT NULL)')
      const queue = await prepare(database)
      const { seconds, cost } = await emptied(database, queue)
      await requireDone(database, queue, effects)
      await queue.close()
      if (cost !== undefined) costs.set(name, [...(costs.get(name) ?? []), cost])
      return count / seconds
    },
  })
  const effect = 'graphile-worker: one row each'
  const cases: readonly Case[] = [
    measured(batched, (db) => graphile(db, count, nothing, graphileBatched)),
    measured(empty, (db) => tidemark(db, count, nothing, 'run'), 0, batched),
    measured('graphile-worker: empty, default', (db) => graphile(db, count, nothing)),
    measured('pg-boss: empty, batches of 500', (db) => pgBoss(db, count)),
    measured(effect, (db) => graphile(db, count, oneRow), count),
    measured(transactional, (db) => tidemark(db, count, oneRow, 'transact'), count, effect),
  ]
  const results = await interleave(selectCases(cases, options.only), options.runs, progress)
  const title = `jobs: jobs a second, ${count.toLocaleString('en')} queued jobs, ${concurrency} side by side`
  return {
    name: 'jobs',
    tables: [ratesTable(title, results), costTable(costs, count)],
    charts: [ratesChart('rates', title, results)],
    targets: targetsOf(results),
    results: { rates: results, costs: Object.fromEntries(costs) },
  }
}

function targetsOf(results: readonly Measured[]): Reached[] {
  const ratio = ratioOf(results, empty, batched)
  const rate = results.find(({ name }) => name === transactional)
  return [
    ...(ratio === undefined ? [] : [atLeast('jobs-empty', 1, ratio)]),
    // Ten times what a peer says of itself.
    ...(rate === undefined ? [] : [atLeast('jobs-effect', 7_700, rate)]),
  ]
}

/** From the start of a worker to the end of the last job, with the worker stopped. */
async function emptied(
  database: TestDatabase,
  queue: Queue,
): Promise<{ seconds: number; cost: Cost | undefined }> {
  const before = await walPosition(database)
  const started = performance.now()
  const cpu = await cpuTimeOf(database, () => queue.run())
  const seconds = (performance.now() - started) / 1000
  const walBytes = (await walPosition(database)) - before
  return { seconds, cost: cpu === undefined ? undefined : { ...cpu, walBytes } }
}

async function walPosition(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ bytes: string }>(
    `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn AS bytes`,
  )
  return Number(rows[0]?.bytes)
}

async function requireDone(database: TestDatabase, queue: Queue, effects: number): Promise<void> {
  const left = await queue.left()
  if (left !== 0) throw new Error(`${left} jobs are left`)
  const { rows } = await database.query<{ rows: number }>(
    'SELECT count(*)::integer AS rows FROM job_effects',
  )
  if (rows[0]?.rows !== effects) throw new Error(`${rows[0]?.rows} effects of ${effects} jobs`)
}

function costTable(costs: ReadonlyMap<string, readonly Cost[]>, count: number): Table {
  const median = (values: readonly number[]): number => quantile(values, 0.5) / count
  return {
    title: 'jobs: processor time and log a job, medians',
    columns: ['case', 'worker µs', 'server µs', 'both µs', 'WAL bytes'],
    rows: [...costs].map(([name, of]) => [
      name,
      (median(of.map(({ client }) => client)) * 1000).toFixed(0),
      (median(of.map(({ server }) => server)) * 1000).toFixed(0),
      (median(of.map(({ client, server }) => client + server)) * 1000).toFixed(0),
      median(of.map(({ walBytes }) => walBytes)).toFixed(0),
    ]),
  }
}
