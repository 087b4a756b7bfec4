import { run } from '../../database/executor.ts'
import { fenceJobs } from '../../database/sql/job/job-settle.ts'
import { after } from '../../database/timer.ts'
import type { Guard } from '../../database/transaction/guard.ts'
import { Savepoints, type Savepoint } from '../../database/transaction/savepoints.ts'
import type { OpenTransaction } from '../../database/transaction/transaction.ts'
import { isConnectionLost } from '../../errors/blame.ts'
import { isPlanLost } from '../../errors/origin.ts'
import { isContentRefused } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { guardedSpawn, sendThrough } from '../../listener/declared/guarded.ts'
import type { Spawn } from '../../listener/declared/spawning.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import { outgoingEvents, type OutgoingEvent } from '../../outbox/published/outgoing-event.ts'
import { publishingTransaction } from '../../outbox/published/publishing-transaction.ts'
import { beginAttempt, type AttemptSpan } from '../../telemetry/job-span.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import { cutsOff } from '../attempted/interruption.ts'
import { encodeOutput, notStorable } from '../defined/job-codec.ts'
import type { TransactionalJobContext } from '../defined/transactional-context.ts'
import { guardOf, jobOrigin } from '../settled/job-transaction.ts'
import type { Outcome } from '../settled/settlement.ts'
import { writeCompletions, type Completion } from '../settled/write-completions.ts'
import { causeOf, errorOf, outcomeOf, readContext, startedJob } from './execution.ts'
import { keepApart, noteDuration } from './shared-commit.ts'

/** How a job of a batch has ended, or that it has not begun, and is to be given back. */
export type Ended = Outcome | { readonly kind: 'unbegun' }

// After so many milliseconds no more jobs begin in a transaction: those that have, wait for it, and others may be free.
const longestShared = 1_000

/**
 * Runs jobs that work inside a transaction, several of them in one, each in a savepoint: the commit, which is most of
 * what a small one costs, is shared. One that fails is rolled back alone. When the transaction itself fails, each is
 * run again in one of its own, so that none suffers for another. Never throws.
 */
export async function executeBatch(
  environment: JobEnvironment,
  attempts: readonly Attempt[],
): Promise<ReadonlyMap<Attempt, Ended>> {
  try {
    return await commitOnSoundConnection(environment, attempts)
  } catch (error) {
    const [only] = attempts
    if (attempts.length === 1 && only !== undefined) {
      return new Map([[only, outcomeOf(only, error, isConnectionLost(error))]])
    }
    const outcomes = new Map<Attempt, Ended>()
    for (const attempt of attempts) {
      for (const [one, outcome] of await executeBatch(environment, [attempt])) {
        outcomes.set(one, outcome)
      }
    }
    return outcomes
  }
}

/**
 * INVARIANT: no job fails for a plan that is older than its table. Each attempt at one closes its connection; any of the
 * others may be like it.
 */
async function commitOnSoundConnection(
  environment: JobEnvironment,
  attempts: readonly Attempt[],
): Promise<ReadonlyMap<Attempt, Ended>> {
  for (let others = environment.transactions.most; ; others--) {
    try {
      return await commitTogether(environment, attempts)
    } catch (error) {
      if (others === 0 || !isPlanLost(error)) throw error
    }
  }
}

async function commitTogether(
  environment: JobEnvironment,
  attempts: readonly Attempt[],
): Promise<ReadonlyMap<Attempt, Ended>> {
  const { transactions, outbox, leaseDuration } = environment
  const outcomes = new Map<Attempt, Ended>()
  const spans = new Map<Attempt, AttemptSpan>()
  const committing = publishingTransaction(
    transactions,
    outbox,
    { idleTimeout: leaseDuration, foreign: true },
    async (transaction, buffer) => {
      const stops = attempts.map((attempt) => attempt.watch(transaction))
      try {
        const held = await fence(environment, transaction, attempts)
        const completed: Completed[] = []
        const savepoints = attempts.length === 1 ? undefined : new Savepoints(transaction)
        const late = performance.now() + longestShared
        for (const [index, attempt] of attempts.entries()) {
          if (!held.has(attempt.job.id)) {
            outcomes.set(attempt, { kind: 'lost' })
            continue
          }
          if (isAskedToStop(attempt) || (index > 0 && performance.now() > late)) {
            outcomes.set(attempt, { kind: 'unbegun' })
            continue
          }
          const span = beginAttempt(outbox.schema, attempt.job, attempt.definition.name)
          if (span !== undefined) spans.set(attempt, span)
          const execute = (): ReturnType<typeof executeOne> =>
            executeOne(attempt, transaction, savepoints?.begin())
          const done = await (span === undefined ? execute() : span.run(execute))
          if ('outcome' in done) {
            outcomes.set(attempt, done.outcome)
            continue
          }
          buffer.push(...done.events)
          completed.push(done)
          outcomes.set(attempt, { kind: 'committed' })
        }
        await complete(environment, transaction, completed)
        await savepoints?.settled()
      } finally {
        for (const stop of stops) stop()
      }
    },
  )
  try {
    await committing
  } catch (error) {
    for (const [attempt, span] of spans) {
      // One that is alone has ended; several are run again, one by one.
      const alone = attempts.length === 1
      const { kind } = alone ? outcomeOf(attempt, error, isConnectionLost(error)) : rolledBack
      span.end(kind, error)
    }
    throw error
  }
  // What each did is known when all have committed.
  for (const [attempt, span] of spans) {
    const outcome = outcomes.get(attempt) ?? { kind: 'lost' }
    if (outcome.kind === 'unbegun') continue
    span.end(outcome.kind === 'committed' ? 'completed' : outcome.kind, errorOf(outcome))
  }
  return outcomes
}

/** Whether it was asked to stop while it waited for its turn: then it does not begin. */
function isAskedToStop({ interruption }: Attempt): boolean {
  return interruption !== undefined && !cutsOff(interruption)
}

const rolledBack = { kind: 'rolled back' } as const

/** Gives a batch up: each of its jobs is run again in a transaction of its own. */
class NeedsOwnTransaction extends Error {}

interface Completed extends Completion {
  readonly events: readonly OutgoingEvent[]
}

async function fence(
  { outbox }: JobEnvironment,
  transaction: OpenTransaction,
  attempts: readonly Attempt[],
): Promise<ReadonlySet<string>> {
  const ids = attempts.map(({ job }) => job.id)
  const tokens = attempts.map(({ job }) => job.token)
  const { rows } = await run(transaction, fenceJobs(outbox.schema), [ids, tokens])
  return new Set(rows.map((row) => row['id'] as string))
}

/**
 * Runs one job in its savepoint. What it wrote stays exactly when it is answered as completed.
 *
 * @throws what the whole transaction is given up for.
 */
async function executeOne(
  attempt: Attempt,
  transaction: OpenTransaction,
  savepoint: Savepoint | undefined,
): Promise<Completed | { readonly outcome: Outcome }> {
  const { spawner, outputs } = attempt.environment
  const { definition } = attempt
  const guard = guardOf(attempt, transaction)
  const timer = after(definition.timeout, () => attempt.interrupt('timeout'))
  const began = performance.now()
  try {
    const events: OutgoingEvent[] = []
    const spawned = spawner.turn(transaction, jobOrigin(attempt))
    const started = startedJob(attempt, await readContext(attempt, transaction))
    const context = batchContext(attempt, guard, events, spawned.spawn)
    const result = guard.handle(() =>
      currentCause.run(causeOf(attempt), () => definition.transact?.(started, context)),
    )
    const value = await Promise.race([result, attempt.cut])
    await guard.finish()
    if (savepoint !== undefined && guard.leavesTraces) throw new NeedsOwnTransaction()
    await spawned.flush()
    const output = await outputs.place(attempt, encodeOutput(definition, value), 'output')
    await savepoint?.keep(guard.doubt?.error)
    return { attempt, output, events }
  } catch (error) {
    // Before anything is rolled back: what came after that would stay.
    guard.close()
    // Alone, or with the connection cut: the whole transaction goes.
    if (savepoint === undefined || transaction.destroyed || isPlanLost(error)) throw error
    if (guard.leavesTraces) keepApart(definition)
    if (error instanceof NeedsOwnTransaction) throw error
    await savepoint.rollBack()
    return { outcome: outcomeOf(attempt, error, false) }
  } finally {
    timer.clear()
    noteDuration(definition, performance.now() - began)
  }
}

function batchContext(
  attempt: Attempt,
  guard: Guard,
  events: OutgoingEvent[],
  spawn: Spawn,
): TransactionalJobContext {
  return {
    get db() {
      return guard.db() as TransactionalJobContext['db']
    },
    tx: guard.executor,
    send: sendThrough(guard),
    publish: (drafts, options) => {
      if (guard.admits('published')) events.push(...outgoingEvents(drafts, options))
    },
    spawn: guardedSpawn(guard, spawn),
    get signal() {
      return attempt.signal
    },
    log: attempt.environment.logger,
  }
}

/** The last statement: the completions commit with what the jobs wrote. */
async function complete(
  environment: JobEnvironment,
  transaction: OpenTransaction,
  completed: readonly Completed[],
): Promise<void> {
  const [first] = completed
  if (first === undefined) return
  let written: number
  try {
    written = await writeCompletions(transaction, environment, completed)
  } catch (cause) {
    // Of several nobody knows whose: each is run again alone.
    if (completed.length > 1 || !isContentRefused(cause)) throw cause
    throw notStorable(`the output of ${first.attempt.definition.name}`, '', cause)
  }
  if (written === completed.length) return
  throw new TidemarkError('TIDEMARK_JOB_LOST', "a job of the batch is not this process's any more")
}
