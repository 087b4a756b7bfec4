import { fenceJob } from '../../database/sql/job/job-settle.ts'
import { Guard } from '../../database/transaction/guard.ts'
import type { OpenTransaction } from '../../database/transaction/transaction.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EncodedValue } from '../../event/encoded/codec.ts'
import { guardedSpawn, sendThrough } from '../../listener/declared/guarded.ts'
import type { Db } from '../../listener/declared/register.ts'
import type { Spawn } from '../../listener/declared/spawning.ts'
import { outgoingEvents, type OutgoingEvent } from '../../outbox/published/outgoing-event.ts'
import { publishingTransaction } from '../../outbox/published/publishing-transaction.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Turn } from '../attempted/branches.ts'
import { encodeOutput } from '../defined/job-codec.ts'
import type { JobTransaction } from '../defined/transactional-context.ts'
import type { JobMemory } from '../remembered/job-memory.ts'
import { writeCompletions } from './write-completions.ts'

const executors = new WeakMap<JobTransaction, OpenTransaction>()

/** The executor of a job's transaction, for what is to be written in it. */
export function executorOfJobTransaction(tx: JobTransaction): OpenTransaction {
  const executor = executors.get(tx)
  if (executor !== undefined) return executor
  throw new TidemarkError(
    'TIDEMARK_INVALID_EXECUTOR',
    'the `tx` option is not a transaction of this job',
    { hint: 'Pass the `tx` that `ctx.transaction(async (tx) => …)` gives you.' },
  )
}

/** Runs `work` in a transaction that begins with the fence: it commits while the job is this attempt's, or not at all. */
export async function runJobTransaction<T>(
  attempt: Attempt,
  memory: JobMemory,
  work: (tx: JobTransaction, executor: OpenTransaction) => Promise<T>,
  step?: { readonly id: string; readonly turn: Turn },
): Promise<T> {
  attempt.throwIfInterrupted()
  const { transactions, outbox, spawner, leaseDuration } = attempt.environment
  const startedAt = new Date()
  let used: OpenTransaction | undefined
  let completion: { readonly output: EncodedValue | null } | undefined
  const committing = publishingTransaction(
    transactions,
    outbox,
    // What the job did before it is not in it, and must not be done again for a plan's sake.
    { idleTimeout: leaseDuration, foreign: true, once: true },
    async (transaction, buffer) => {
      used = transaction
      const stop = attempt.watch(transaction)
      const guard = guardOf(attempt, transaction)
      try {
        await attempt.write(fenceJob, [], transaction)
        const spawned = spawner.turn(transaction, jobOrigin(attempt))
        const complete = (output?: unknown): void => {
          completion = { output: encodeOutput(attempt.definition, output) }
        }
        const tx = jobTransaction(transaction, guard, buffer, spawned.spawn, complete)
        const working = guard.handle(() => work(tx, transaction))
        const value = await attempt.orCut(working)
        await guard.finish()
        await spawned.flush()
        if (step !== undefined) {
          const ended = { id: step.id, kind: 'step', output: value, startedAt }
          await memory.end(ended, step.turn, transaction)
        }
        if (completion !== undefined) {
          await writeCompletion(attempt, transaction, completion.output)
          attempt.beginCommit()
        }
        return value
      } finally {
        guard.close()
        stop()
      }
    },
  )
  try {
    const [result] = await committing
    if (completion !== undefined) attempt.endCommit(true)
    if (used !== undefined) memory.committed(used)
    return result
  } catch (error) {
    attempt.endCommit(false)
    throw error
  }
}

/** The guard of a transaction that a job works in. */
export function guardOf(
  { definition, job, environment }: Attempt,
  transaction: OpenTransaction,
): Guard {
  const { name } = definition
  const onMisuse = (misuse: string): void => {
    environment.logger.error({ job: job.id, name }, misuse)
  }
  return new Guard(transaction, `job ${name} ${job.id}`, onMisuse)
}

/** On whose behalf a job spawns. */
export function jobOrigin({ definition, job }: Attempt): { triggeredBy: string; parent: string } {
  return { triggeredBy: `job:${definition.name}`, parent: job.id }
}

async function writeCompletion(
  attempt: Attempt,
  executor: OpenTransaction,
  output: EncodedValue | null,
): Promise<void> {
  const { environment } = attempt
  const placed = await environment.outputs.place(attempt, output, 'output')
  const written = await writeCompletions(executor, environment, [{ attempt, output: placed }])
  if (written === 1) return
  attempt.interrupt('lost')
  throw new TidemarkError(
    'TIDEMARK_JOB_LOST',
    `${attempt.definition.name} ${attempt.job.id} is not this attempt's any more`,
  )
}

/** What a transaction offers to a job. */
function jobTransaction(
  transaction: OpenTransaction,
  guard: Guard,
  buffer: OutgoingEvent[],
  spawn: Spawn,
  complete: (output?: unknown) => void,
): JobTransaction {
  const tx: JobTransaction = {
    get db(): Db {
      return guard.db() as Db
    },
    tx: guard.executor,
    send: sendThrough(guard),
    publish: (drafts, options) => {
      if (guard.admits('published')) buffer.push(...outgoingEvents(drafts, options))
    },
    spawn: guardedSpawn(guard, spawn),
    complete: (output) => {
      if (guard.admits('completed')) complete(output)
    },
  }
  executors.set(tx, transaction)
  return tx
}
