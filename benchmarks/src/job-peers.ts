import { setTimeout as delay } from 'node:timers/promises'
import type { TestDatabase } from '@tidemark/testing'
import { Logger, makeWorkerUtils, run as runGraphile, type RunnerOptions } from 'graphile-worker'
import { PgBoss } from 'pg-boss'
import { concurrency, connections, drained, type Queue, type Task } from './job-queue.ts'

const quiet = new Logger(() => () => {})

/** What graphile-worker's documentation calls its fastest settings. */
export const graphileBatched: Partial<RunnerOptions> = {
  preset: {
    worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
  },
}

/** graphile-worker, which deletes the jobs that it has completed. */
export async function graphile(
  database: TestDatabase,
  count: number,
  task: Task,
  options: Partial<RunnerOptions> = {},
): Promise<Queue> {
  const utils = await makeWorkerUtils({ connectionString: database.url })
  await utils.migrate()
  await database.query(
    `SELECT graphile_worker.add_job('task', json_build_object('n', n)) FROM generate_series(1, $1::integer) AS n`,
    [count],
  )
  await database.query('VACUUM ANALYZE graphile_worker._private_jobs')
  const left = async (): Promise<number> => {
    const { rows } = await database.query<{ left: number }>(
      'SELECT count(*)::integer AS left FROM graphile_worker._private_jobs',
    )
    return rows[0]?.left ?? Number.NaN
  }
  return {
    run: async () => {
      const jobs = drained(count)
      const runner = await runGraphile({
        connectionString: database.url,
        concurrency,
        maxPoolSize: connections,
        noHandleSignals: true,
        pollInterval: 1000,
        logger: quiet,
        taskList: {
          task: async (payload, helpers) => {
            await task((payload as { n: number }).n, helpers)
            jobs.done()
          },
        },
        ...options,
      })
      await jobs.all
      // A stop does not always wait until the last ones are written down.
      while ((await left()) > 0) await delay(5)
      await runner.stop()
    },
    left,
    close: async () => {
      await utils.release()
    },
  }
}

/** pg-boss, with its own batches of 500; its completed jobs stay in its table, as here. */
export async function pgBoss(database: TestDatabase, count: number): Promise<Queue> {
  const boss = new PgBoss({
    connectionString: database.url,
    max: connections,
    supervise: false,
    schedule: false,
  })
  boss.on('error', () => {})
  await boss.start()
  await boss.createQueue('task')
  for (let start = 0; start < count; start += 1000) {
    const page = Array.from({ length: Math.min(1000, count - start) }, (_, n) => ({
      data: { n: start + n },
    }))
    await boss.insert('task', page)
  }
  await database.query('VACUUM ANALYZE pgboss.job')
  return {
    run: async () => {
      const jobs = drained(count)
      for (let worker = 0; worker < 4; worker++) {
        await boss.work('task', { batchSize: 500, pollingIntervalSeconds: 0.5 }, async (batch) => {
          for (const _ of batch) jobs.done()
        })
      }
      await jobs.all
      await boss.stop({ graceful: true, close: true })
    },
    left: async () => {
      const { rows } = await database.query<{ left: number }>(
        `SELECT count(*)::integer AS left FROM pgboss.job WHERE state < 'completed'`,
      )
      return rows[0]?.left ?? Number.NaN
    },
    close: async () => {},
  }
}
