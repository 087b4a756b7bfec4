import type { Span } from '@opentelemetry/api'
import { attribute, convention, systemName } from './conventions.ts'
import { count, isMetered, record } from './meter.ts'
import { spanContextOf } from './trace-context.ts'
import { attributes, errorTypeOf, failSpan, startSpan, tracer, withSpan } from './tracer.ts'

/** A job that was claimed, as far as telemetry tells of it. */
interface ToldJob {
  readonly id: string
  readonly attempt: number
  readonly traceparent?: string | null
  readonly tracestate?: string | null
  readonly waited?: number
}

/** An attempt, as far as telemetry tells of its steps. */
export interface ToldAttempt {
  readonly schema: string
  readonly name: string
  readonly id: string
  readonly attempt: number
}

const system = { [convention.system]: systemName }

/** Whether anybody wants to know of jobs. */
export function isObserved(): boolean {
  return tracer() !== undefined || isMetered()
}

/** Runs `work`, which spawns one job and commits, inside of a span: the job carries its context. */
export async function inSpawnSpan<T extends { readonly id: string }>(
  schema: string,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const span = startSpan({
    span: 'spawn',
    of: name,
    options: {
      attributes: {
        ...system,
        [convention.operationName]: 'spawn',
        [convention.operationType]: 'send',
        [attribute.job]: name,
        [attribute.schema]: schema,
      },
    },
  })
  if (span === undefined) return work()
  try {
    const spawned = await withSpan(span, work)
    span.setAttribute(convention.messageId, spawned.id)
    span.end()
    return spawned
  } catch (error) {
    failSpan(span, error)
    throw error
  }
}

/** One attempt under way: a span, and its measures when it ends. */
export interface AttemptSpan {
  run<T>(work: () => T): T
  /** @param error - what the attempt failed with, if it did. */
  end(outcome: string, error?: unknown): void
}

/** Begins to tell of an attempt; undefined when nobody wants to know. */
export function beginAttempt(schema: string, job: ToldJob, name: string): AttemptSpan | undefined {
  if (!isObserved()) return undefined
  const owner = { [attribute.schema]: schema, [attribute.job]: name }
  if (job.waited !== undefined) record('tidemark.job.claim.latency', job.waited / 1000, owner)
  const { traceparent = null, tracestate = null } = job
  const origin = spanContextOf({ traceparent, tracestate })
  const span = startSpan({
    span: 'job',
    of: name,
    options: {
      root: true,
      links: origin === undefined ? [] : [{ context: origin }],
      attributes: {
        ...system,
        ...owner,
        [convention.operationName]: 'process',
        [convention.operationType]: 'process',
        [convention.messageId]: job.id,
        [attribute.attempt]: job.attempt,
      },
    },
  })
  const started = performance.now()
  return {
    run: (work) => withSpan(span, work),
    end: (outcome, error) => {
      const failed: Record<string, string> =
        error === undefined ? {} : { [convention.errorType]: errorTypeOf(error) }
      const took = (performance.now() - started) / 1000
      record('tidemark.job.duration', took, {
        ...owner,
        [attribute.jobOutcome]: outcome,
        ...failed,
      })
      if (outcome === 'retried') count('tidemark.job.retries', 1, { ...owner, ...failed })
      endSpan(span, outcome, error)
    },
  }
}

function endSpan(span: Span | undefined, outcome: string, error: unknown): void {
  span?.setAttribute(attribute.jobOutcome, outcome)
  if (outcome !== 'failed' && error === undefined) span?.end()
  else failSpan(span, error)
}

/** Runs a step inside of a span. */
export async function inStepSpan<T>(
  { schema, name, id, attempt }: ToldAttempt,
  step: string,
  work: () => Promise<T>,
): Promise<T> {
  const span = startSpan({
    span: 'step',
    of: step,
    options: {
      attributes: attributes({
        [convention.messageId]: id,
        [attribute.job]: name,
        [attribute.step]: step,
        [attribute.attempt]: attempt,
        [attribute.schema]: schema,
      }),
    },
  })
  if (span === undefined) return work()
  try {
    const result = await withSpan(span, work)
    span.end()
    return result
  } catch (error) {
    failSpan(span, error)
    throw error
  }
}

/** Runs a function that is run as a job, inside of a span: a child of the active one, because whoever runs it waits for it. */
export async function inRunSpan<T>(name: string, id: string, work: () => Promise<T>): Promise<T> {
  const span = startSpan({
    span: 'run',
    of: name,
    options: { attributes: { [convention.messageId]: id, [attribute.job]: name } },
  })
  if (span === undefined) return work()
  try {
    const output = await withSpan(span, work)
    endSpan(span, 'completed', undefined)
    return output
  } catch (error) {
    endSpan(span, 'failed', error)
    throw error
  }
}

/** Counts jobs that were taken from dead processes. */
export function countRescued(schema: string, jobs: number): void {
  count('tidemark.job.rescued', jobs, { [attribute.schema]: schema })
}
