import { requireText, shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireFunction } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { isEventDefinition, type EventDefinition } from '../../event/define-event.ts'
import { milliseconds } from '../../listener/declared/backoff.ts'
import { isJobDefinition } from '../defined/define-job.ts'
import { requireKey } from '../defined/stored-key.ts'
import type { JobEventOptions, JobSignalOptions, JobWaitOptions } from '../defined/waits.ts'

// INVARIANT: whatever a wait is given is checked before anything is stored, looked up or taken for it.

const largestSequence = 2n ** 63n - 1n

/** @throws TidemarkError TIDEMARK_INVALID_OPTION: `{ timout: '1s' }` would wait for ever. */
export function checkEventWait(
  id: string,
  definition: unknown,
  options: JobEventOptions<EventDefinition<string, unknown>>,
): void {
  const where = whereOf(id)
  if (!isEventDefinition(definition)) {
    throw invalid(`${where} is for an event, and ${shown(definition)} is none`)
  }
  rejectUnknownOptions(where, options, ['timeout', 'key', 'where', 'after'])
  const { key, where: accepts, after } = options
  if (key !== undefined) requireText(where, 'key', key)
  if (accepts !== undefined) requireFunction(where, 'where', accepts)
  if (after !== undefined) requireSequence(where, 'after', after)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION, before a signal is taken. */
export function checkSignalWait(
  job: string,
  id: string,
  name: unknown,
  options: JobSignalOptions<unknown>,
): void {
  const where = whereOf(id)
  requireKey(job, 'the name of a signal', name)
  rejectUnknownOptions(where, options, ['timeout', 'schema'])
  const { schema } = options
  if (schema === undefined || typeof schema?.safeParse === 'function') return
  throw invalid(`${where}: "schema" must be a schema of zod, not ${shown(schema)}`)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkListenerWait(
  id: string,
  target: unknown,
  sequence: unknown,
  options: JobWaitOptions,
): asserts target is string {
  requireText('waitFor', 'listener', target)
  requireSequence('waitFor', 'sequence', sequence)
  rejectUnknownOptions(whereOf(id), options, ['timeout'])
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION unless it is a definition of a job. */
export function checkChild(id: string, job: unknown): void {
  if (!isJobDefinition(job)) throw invalid(`${whereOf(id)} is a job, and ${shown(job)} is none`)
}

/** How long at most, in milliseconds; infinity: for ever. */
export function timeoutOf({ timeout }: JobWaitOptions): number {
  return timeout === undefined ? Number.POSITIVE_INFINITY : milliseconds(timeout)
}

function requireSequence(where: string, option: string, sequence: unknown): void {
  if (typeof sequence === 'bigint' && sequence >= 0n && sequence <= largestSequence) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a sequence of the outbox, not ${shown(sequence)}`,
    { hint: 'Use a bigint that the outbox has given you, or `toEventSequence(text)`.' },
  )
}

function whereOf(id: unknown): string {
  return `the wait ${shown(id)}`
}

function invalid(message: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', message)
}
