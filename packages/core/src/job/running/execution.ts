import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { beginDocument as beginDocumentRow } from '../../database/sql/job/job-documents.ts'
import { readJobContext } from '../../database/sql/job/job-memory.ts'
import { after, type Timer } from '../../database/timer.ts'
import { isConnectionLost } from '../../errors/blame.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { isThenable } from '../../errors/user-code.ts'
import { currentCause, type Cause } from '../../outbox/published/cause.ts'
import { beginAttempt } from '../../telemetry/job-span.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Branches, EarlyEnd } from '../attempted/branches.ts'
import { comesOf, saysInterrupted } from '../attempted/interruption.ts'
import { decodeContext, decodeInput, encodeOutput } from '../defined/job-codec.ts'
import type { Job } from '../defined/job-context.ts'
import type { Documents } from '../documented/documents.ts'
import { JobMemory } from '../remembered/job-memory.ts'
import type { Outcome } from '../settled/settlement.ts'
import { failedOrRetried, isQuarantined } from '../settled/verdict.ts'
import { watchForLife } from './lively.ts'
import { RunContext } from './run-context.ts'

/** Runs one attempt of a job that works outside of a transaction. Never throws. */
export async function execute(attempt: Attempt): Promise<Outcome> {
  const span = beginAttempt(attempt.environment.outbox.schema, attempt.job, attempt.definition.name)
  const outcome = await (span === undefined
    ? attemptOnce(attempt)
    : span.run(() => attemptOnce(attempt)))
  span?.end(outcome.kind === 'committed' ? 'completed' : outcome.kind, errorOf(outcome))
  return outcome
}

/** What an outcome failed with, for telemetry. */
export function errorOf(outcome: Outcome): unknown {
  return outcome.kind === 'failed' || outcome.kind === 'retried' ? outcome.error : undefined
}

async function attemptOnce(attempt: Attempt): Promise<Outcome> {
  let context: RunContext | undefined
  let suspended = false
  const { schemas, timeout } = attempt.definition
  // Most attempts are over before anything of them waits: they need none.
  let timer: Timer | undefined
  const limit = (): void => {
    const passed = performance.now() - attempt.startedAt
    timer ??= after(timeout - passed, () => attempt.interrupt('timeout'))
  }
  try {
    if (schemas.context !== undefined || attempt.job.resumes) limit()
    const carried = schemas.context === undefined ? undefined : await readContext(attempt)
    const job = startedJob(attempt, carried)
    const memory = attempt.job.resumes ? await JobMemory.load(attempt) : JobMemory.fresh(attempt)
    const { documents } = attempt.environment
    if (documents?.keeps(attempt.definition.name) === true) {
      limit()
      await beginDocument(attempt, documents)
    }
    const ctx = (context = new RunContext(attempt, memory, job))
    const output = currentCause.run(causeOf(attempt), () => attempt.definition.run?.(job, ctx))
    let value = output
    if (isThenable(output)) {
      // Once: the thenable of a query builder would run its query each time that somebody waits for it.
      const answer = Promise.resolve(output)
      const soon = await settledSoon(answer, memory)
      if (soon === undefined) limit()
      value = soon === undefined ? await runToEnd(attempt, memory.branches, answer) : soon.value
    }
    if (memory.unfinished || context.hasReports) limit()
    // What its losers are told later decides nothing.
    const cancelled = attempt.toldOfCancel
    if (memory.unfinished) await leaveBehind(attempt, memory.branches)
    // What shows up from now on was left behind: it must not be told an error that nobody waits for.
    else memory.close()
    if (context.hasReports) await context.flush()
    if (attempt.completed) return { kind: 'committed' }
    if (Early.is(value)) {
      suspended = value.end.kind === 'suspended'
      return await outcomeOfEarly(attempt, memory.branches, value.end)
    }
    // Its code has made of it what it could; what it answers is not what the job has come to.
    if (cancelled) return { kind: 'cancelled' }
    const encoded = encodeOutput(attempt.definition, value)
    const placed = attempt.environment.outputs.place(attempt, encoded, 'output')
    if (isThenable(placed)) limit()
    return { kind: 'completed', output: isThenable(placed) ? await placed : placed }
  } catch (error) {
    limit()
    const { branches } = context?.memory ?? {}
    if (branches !== undefined) await letEnd(attempt, branches)
    // Whether the job has completed, the answer to its COMMIT says, and not what cut it off meanwhile.
    await attempt.answered(patience)
    await context?.flush()
    // Before the code has begun, what fails is the reading of what there is.
    const innocent = branches?.brokenOff ?? isConnectionLost(error)
    const outcome = outcomeOf(attempt, error, innocent, branches?.fatal)
    // Where its code has not failed, what its steps have come to stays so: whatever was decided by it is decided.
    const ofItsOwn = branches?.brokenOff !== true && !isCutByItsCode(attempt)
    return ofItsOwn ? tryingAgain(outcome, branches, error) : outcome
  } finally {
    timer?.clear()
    // Whether its code is quiet, its own signal must not decide.
    if (!suspended) attempt.abort()
  }
}

/** How an attempt ends that has ended before its code. */
async function outcomeOfEarly(
  attempt: Attempt,
  branches: Branches,
  end: EarlyEnd,
): Promise<Outcome> {
  if (end.kind === 'suspended') return end
  // What goes on beside it would go on beside the next attempt, and leave it what it has come to.
  await letEnd(attempt, branches)
  const { documents } = attempt.environment
  try {
    await (documents === undefined ? end.begin() : documents.continued(attempt.job, end.begin))
  } catch (error) {
    branches.brokenOff ||= isConnectionLost(error)
    throw error
  }
  return { kind: 'continued' }
}

/** Where contexts are kept, the job's is in the store before it runs: other tools see that it has begun. */
async function beginDocument(attempt: Attempt, documents: Documents): Promise<void> {
  const { definition, job } = attempt
  const root = documents.rootOf(job.id, definition.name)
  await attempt.persist(beginDocumentRow, [documents.store.name, root])
  await documents.save(job)
}

/** Marks that an attempt has ended although its code has not. */
class Early {
  readonly #end: EarlyEnd

  constructor(end: EarlyEnd) {
    this.#end = end
  }

  get end(): EarlyEnd {
    return this.#end
  }

  /** Not by its prototype: what a job answers may refuse to be asked for one. */
  static is(value: unknown): value is Early {
    return typeof value === 'object' && value !== null && #end in value
  }
}

/**
 * What the code answers if it takes no more than a few turns of the microtasks and nothing of the attempt's was begun, as
 * in most short jobs: then nothing need watch over it.
 *
 * @returns undefined: it takes longer.
 * @throws what the code throws.
 */
async function settledSoon(
  output: Promise<unknown>,
  memory: JobMemory,
): Promise<{ readonly value: unknown } | undefined> {
  let settled = false
  const end = (): void => {
    settled = true
  }
  output.then(end, end)
  for (let turn = 0; turn < fewTurns; turn++) {
    await turnOver
    if (memory.begun) return undefined
    if (settled) return { value: await output }
  }
  return undefined
}

// An async function that awaits what is there takes one, and two more for each function that it hands on from.
const fewTurns = 5
const turnOver = Promise.resolve()

/** What the code answers, or how the attempt ends without it. */
async function runToEnd(
  attempt: Attempt,
  branches: Branches,
  output: Promise<unknown>,
): Promise<unknown> {
  const early = branches.ended.then((end) => {
    if (end.kind === 'suspended') watchForLife(attempt, branches, output)
    return new Early(end)
  })
  return Promise.race([output, attempt.cut, early])
}

/** Lets what is under way end first: its effects are stored, so that they are not repeated. */
async function letEnd(attempt: Attempt, branches: Branches): Promise<void> {
  const closed = branches.close()
  // What goes on until it is told to stop, such as a poll, is told; what does not heed it is waited for.
  const timer = after(patience, () => attempt.abort())
  try {
    await Promise.race([closed, attempt.cut])
  } catch {
    // It was cut off meanwhile, which decides how it has ended.
  } finally {
    timer.clear()
  }
}

// For branches that do not heed their signal, and answers that do not come.
const patience = 5_000

/** Lets the branches that the code has left behind see that it is over, and waits until what they do is done. */
async function leaveBehind(attempt: Attempt, branches: Branches): Promise<void> {
  const closed = branches.close()
  attempt.abort()
  const late = Promise.withResolvers<void>()
  const timer = after(patience, () => late.resolve())
  try {
    await Promise.race([closed, late.promise, attempt.cut])
  } finally {
    timer.clear()
  }
}

/** A failed attempt's steps that have failed with it are run again by the next one. */
function tryingAgain(outcome: Outcome, branches: Branches | undefined, error: unknown): Outcome {
  if (outcome.kind !== 'failed' && outcome.kind !== 'retried') return outcome
  // A job that has failed may have other code when somebody retries it. Until then what could not be stored stays so:
  // it has had its effects.
  const isFinal = outcome.kind === 'retried' ? isQuarantined : () => false
  const again = branches?.toTryAgain(error, isFinal) ?? []
  return again.length === 0 ? outcome : { ...outcome, again }
}

/** What came with a job; read only for those that say that something does. */
export async function readContext(
  { definition, job, environment }: Attempt,
  executor: Executor | PreparingExecutor = environment.database,
): Promise<unknown> {
  if (definition.schemas.context === undefined) return undefined
  const { rows } = await run(executor, readJobContext(environment.outbox.schema), [job.id])
  const { context = null, context_meta: meta = null } = rows[0] ?? {}
  return decodeContext(definition, context, meta)
}

/**
 * The job as its function sees it.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT, TIDEMARK_JOB_KILLS or TIDEMARK_JOB_NOT_RESUMABLE.
 */
export function startedJob({ definition, job }: Attempt, context: unknown): Job<unknown, unknown> {
  const { name, retry } = definition
  if (job.deaths >= retry.deaths) {
    throw new TidemarkError(
      'TIDEMARK_JOB_KILLS',
      `${name} ${job.id} is not run again: ${job.deaths} processes in a row died while they ran it`,
      { details: { name, id: job.id, deaths: job.deaths } },
    )
  }
  if (!definition.resumable && job.deaths > 0) throw notResumable({ definition, job })
  return {
    id: job.id,
    name,
    input: decodeInput(definition, job.version, job.input, job.input_meta),
    attempt: job.attempt,
    token: BigInt(job.token),
    createdAt: job.created_at,
    triggeredBy: job.triggered_by,
    parent: job.parent,
    context,
  }
}

function notResumable({ definition, job }: Pick<Attempt, 'definition' | 'job'>): TidemarkError {
  const { name } = definition
  return new TidemarkError(
    'TIDEMARK_JOB_NOT_RESUMABLE',
    `${name} ${job.id} was interrupted and is not resumable`,
    { details: { name, id: job.id, deaths: job.deaths } },
  )
}

/** What is published and spawned by the job has it as its cause. */
export function causeOf({ job }: Attempt): Cause {
  return { causationId: job.id, correlationId: job.correlation_id ?? job.id }
}

/**
 * How an attempt that threw has ended.
 *
 * @param innocent - whether the connection was lost, and nothing that the job did has failed.
 */
export function outcomeOf(
  attempt: Attempt,
  error: unknown,
  innocent: boolean,
  fatal?: { readonly error: unknown },
): Outcome {
  if (attempt.completed) return { kind: 'committed' }
  switch (attempt.interruption) {
    case 'lost':
      return { kind: 'lost' }
    case 'shutdown':
      return attempt.definition.resumable
        ? { kind: 'released' }
        : { kind: 'failed', error: notResumable(attempt) }
    case 'timeout':
    case 'uncaught':
      return failedOrRetried(attempt, attempt.lateError)
    case 'pause':
    case 'cancel':
    case 'drain':
      // Only what comes from the interruption is its work: an error of the job's own still is one.
      if (isInterruption(attempt, error)) return interrupted(attempt.interruption)
      break
    case undefined:
      break
    default:
      return attempt.interruption satisfies never
  }
  if (fatal !== undefined) return { kind: 'failed', error: fatal.error }
  return failedOrRetried(attempt, error, innocent)
}

/** Whether it was cut off for what its own code did, or did not come to do. */
function isCutByItsCode({ interruption }: Attempt): boolean {
  return interruption === 'timeout' || interruption === 'uncaught'
}

function interrupted(interruption: 'pause' | 'cancel' | 'drain'): Outcome {
  if (interruption === 'pause') return { kind: 'paused' }
  return interruption === 'cancel' ? { kind: 'cancelled' } : { kind: 'released' }
}

function isInterruption(attempt: Attempt, error: unknown): boolean {
  if (saysInterrupted(error)) return true
  if (attempt.interruption === 'drain') return false
  // What an aborted fetch, timer or query throws: the reason itself, or an error that says so.
  return comesOf(attempt.signal.reason, error)
}
