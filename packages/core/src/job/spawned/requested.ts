import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { Database } from '../../database/pool.ts'
import { beginRequest, endRequest, readRequest } from '../../database/sql/job/job-spawn.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { SpawnedJob } from '../../listener/declared/spawning.ts'
import type { OutgoingJob } from './outgoing-job.ts'

/**
 * Does what a request asks for once, where that is no job of its own: the job that it has replaced, or that was kept, is
 * what the same request comes to ever after, also when that job has finished or has become another since.
 *
 * @throws TidemarkError TIDEMARK_REQUEST_CHANGED, and whatever `spawn` throws: then the request has come to nothing.
 */
export async function requestedOnce(
  executor: Executor | PreparingExecutor,
  schema: string,
  job: OutgoingJob,
  spawn: (executor: Executor | PreparingExecutor) => Promise<SpawnedJob>,
): Promise<SpawnedJob> {
  // What is done and what is remembered of it commit together.
  if (executor instanceof Database) {
    const [spawned] = await inTransaction(executor, brief, (transaction) =>
      requestedOnce(transaction, schema, job, spawn),
    )
    return spawned
  }
  const begun = await run(executor, beginRequest(schema), [job.id, job.request])
  if (begun.rows.length === 0) {
    const { rows } = await run(executor, readRequest(schema), [job.id])
    const [row] = rows
    // It has been deleted since, with its job: like one that was never made.
    if (row === undefined) return spawn(executor)
    if (row['request'] !== job.request) throw otherRequest(job, row['job'] as string)
    return { id: row['job'] as string, duplicate: true, outcome: 'kept' }
  }
  const end = (other: string | null): Promise<unknown> =>
    run(executor, endRequest(schema), [job.id, other])
  try {
    const spawned = await spawn(executor)
    await end(spawned.id === job.id ? null : spawned.id)
    return spawned
  } catch (error) {
    // A transaction of the caller's goes on without it; of one that is aborted nothing stays anyway.
    await end(null).catch(() => {})
    throw error
  }
}

/** The error of a request that is not the one that was made before under the same id. */
export function otherRequest({ id, name }: OutgoingJob, job: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_REQUEST_CHANGED',
    `${name} was not spawned: another request has spawned ${job}`,
    { details: { name, id: job, requested: id } },
  )
}
