import { after } from '../../database/timer.ts'
import { shown } from '../../errors/checked-text.ts'
import { requireFunction } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { ask, isBoolean, isNumber } from '../../errors/user-code.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import { inStepSpan, type ToldAttempt } from '../../telemetry/job-span.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { Turn } from '../attempted/branches.ts'
import { declaredStep, type DeclaredStep, type StepOptions } from '../declared/step-options.ts'
import type { JobMemory } from '../remembered/job-memory.ts'
import type { StoredStep } from '../remembered/job-steps.ts'
import { isQuarantined } from '../settled/verdict.ts'

/** A step that failed, and is tried again. */
interface Tries {
  readonly tries: number
  /** When, by the server's clock. */
  readonly until: number | null
}

/**
 * Runs a step unless it has ended, as often as its options say, and stores how it ended.
 *
 * @throws what it threw in the end.
 */
export async function runStep<T>(
  attempt: Attempt,
  memory: JobMemory,
  id: string,
  work: (signal: AbortSignal) => Promise<T> | T,
  options: StepOptions | undefined,
  turn: Turn,
): Promise<T> {
  const stored = memory.take(id, 'step')
  if (stored?.position != null) return (await memory.replay(stored, turn)) as T
  const { name } = attempt.definition
  requireFunction(`the step ${shown(id)} of ${name}`, 'work', work)
  const declared = declaredStep(`the step ${shown(id)} of ${name}`, options)
  const startedAt = stored?.startedAt ?? new Date()
  const begun = triesOf(stored)
  let tries = begun?.tries ?? 0
  if (begun !== undefined) await putOff(memory, id, memory.left(begun.until))
  for (;;) {
    attempt.throwIfInterrupted()
    tries += 1
    try {
      const output = await tryOnce(attempt, id, work, declared)
      await memory.end({ id, kind: 'step', output, startedAt }, turn)
      return output
    } catch (thrown) {
      // What could not be stored has failed by itself, and what was interrupted has not failed.
      if (turn.position !== undefined) throw thrown
      const interrupted = attempt.interruptionOf(thrown)
      if (interrupted !== undefined) throw interrupted.error
      const step = { id, kind: 'step', startedAt, error: { thrown } }
      const delay = isQuarantined(thrown) ? undefined : delayOf(name, id, declared, tries, thrown)
      if (delay === undefined) {
        await memory.end(step, turn)
        throw thrown
      }
      await memory.failedOnce(step, tries, delay)
      await putOff(memory, id, delay)
    }
  }
}

/** How a step is told of: in a span of its own, and in what is published meanwhile. */
export function withinStep<T>(attempt: Attempt, id: string, work: () => Promise<T>): Promise<T> {
  const { job, definition, environment } = attempt
  const told: ToldAttempt = {
    id: job.id,
    attempt: job.attempt,
    name: definition.name,
    schema: environment.outbox.schema,
  }
  return inStepSpan(told, id, () => {
    const cause = currentCause.getStore()
    return cause === undefined ? work() : currentCause.run({ ...cause, step: id }, work)
  })
}

function tryOnce<T>(
  attempt: Attempt,
  id: string,
  work: (signal: AbortSignal) => Promise<T> | T,
  { timeout }: DeclaredStep,
): Promise<T> {
  const { signal } = attempt
  if (!Number.isFinite(timeout)) {
    return withinStep(attempt, id, async () => work(signal))
  }
  const late = Promise.withResolvers<never>()
  const controller = new AbortController()
  const timer = after(timeout, () => {
    const { name } = attempt.definition
    const message = `${name}: the step ${shown(id)} took more than ${timeout} ms`
    const error = new TidemarkError('TIDEMARK_STEP_TIMEOUT', message, {
      details: { job: name, step: id, timeout },
    })
    controller.abort(error)
    late.reject(error)
  })
  const either = attempt.guardListeners(AbortSignal.any([signal, controller.signal]))
  return withinStep(attempt, id, () => Promise.race([work(either), late.promise])).finally(() =>
    timer.clear(),
  )
}

/** In how many milliseconds a step is tried again; undefined: it is not. */
function delayOf(
  job: string,
  id: string,
  { attempts, backoff, retryable }: DeclaredStep,
  tries: number,
  error: unknown,
): number | undefined {
  if (tries >= attempts) return undefined
  const what = `of the step ${shown(id)} of ${job}`
  const again = ask(`retry.retryable ${what}`, () => retryable(error), isBoolean, 'a boolean')
  if (again.ok && !again.value) return undefined
  const delay = ask(`retry.backoff ${what}`, () => backoff(tries + 1), isNumber, 'a number')
  // As for jobs: it is tried again unless it says no, and waits a second where it says nonsense.
  return Math.min(Math.max(delay.ok ? delay.value : 1_000, 0), 365 * 86_400_000)
}

async function putOff(memory: JobMemory, id: string, left: number): Promise<void> {
  await memory.branches.wait({ id, left, waiting: { for: 'another try', id } })
}

function triesOf(stored: StoredStep | undefined): Tries | undefined {
  return stored?.text == null ? undefined : (JSON.parse(stored.text) as Tries)
}
