import type { TestDatabase } from '@tidemark/testing'
import { defineApp, defineJob, type JobDefinition } from 'tidemark'
import { z } from 'zod'

/** How many jobs run side by side, here and in each peer. */
export const concurrency = 24
/** How many connections each may open for its jobs. */
export const connections = 10

/** What can run SQL. */
interface Sql {
  query(text: string, values?: unknown[]): Promise<unknown>
}

/** What a job does, given its number and what its queue gives it to write with. */
export type Task = (n: number, sql: Sql) => Promise<void> | void

/** A queue that is full. */
export interface Queue {
  /** Starts workers, and stops them when all jobs have run and been written down as such. */
  run(): Promise<void>
  /** How many jobs are unfinished. */
  left(): Promise<number>
  close(): Promise<void>
}

/** Counts jobs in memory: asking the database whether it is empty would be part of what is measured. */
export function drained(count: number): { readonly all: Promise<void>; done(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = count
  const done = (): void => {
    left -= 1
    if (left === 0) resolve()
  }
  return { all: promise, done }
}

const input = z.object({ n: z.number() })

/** The queue of this library, with jobs that work outside of a transaction or inside of one. */
export async function tidemark(
  database: TestDatabase,
  count: number,
  task: Task,
  kind: 'run' | 'transact',
): Promise<Queue> {
  let jobs = drained(count)
  const run = async (n: number, sql: Sql): Promise<void> => {
    await task(n, sql)
    jobs.done()
  }
  const job: JobDefinition =
    kind === 'run'
      ? defineJob('task', { input, run: ({ input: { n } }) => run(n, database) })
      : defineJob('task', { input, transact: ({ input: { n } }, { tx }) => run(n, tx) })
  const app = defineApp({ modules: [job], connectionString: database.url })
  await app.transaction(async ({ spawn }) => {
    for (let n = 1; n <= count; n++) await spawn(job, { n })
  })
  await database.query('VACUUM ANALYZE tidemark.jobs')
  return {
    run: async () => {
      jobs = drained(count)
      const runner = await app.start({ handleSignals: false, jobs: { concurrency, connections } })
      await jobs.all
      await runner.stop()
    },
    left: async () => {
      const { rows } = await database.query<{ left: number }>(
        `SELECT count(*)::integer AS left FROM tidemark.jobs WHERE status <> 'completed'`,
      )
      return rows[0]?.left ?? Number.NaN
    },
    close: () => app.close(),
  }
}
