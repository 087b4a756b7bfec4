import { problemOfText, requireText } from '../../errors/checked-text.ts'
import { requireTime, requireUuid } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { ask } from '../../errors/user-code.ts'
import type { EncodedValue } from '../../event/encoded/codec.ts'
import type { SpawnOptions, SpawnOrigin } from '../../listener/declared/spawning.ts'
import { currentCause, currentTrace } from '../../outbox/published/cause.ts'
import { priorityOf } from '../declared/priority.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { longestQueue } from '../defined/define-queue.ts'
import { decodeInput, encodeContext, encodeInput, StoredInput } from '../defined/job-codec.ts'
import { gathered } from './gathering.ts'
import { newJobId, repeatableJobId } from './job-id.ts'

/** A job as it is sent to the database. */
export interface OutgoingJob {
  readonly id: string
  readonly name: string
  /** Its name, and those that its type had before. */
  readonly names: readonly string[]
  readonly version: number
  readonly queue: string
  readonly priority: number
  readonly runAt: Date | null
  readonly delay: number
  readonly context: EncodedValue | null
  readonly input: string
  readonly inputMeta: string | null
  readonly uniqueKey: string | null
  readonly onDuplicate: 'keep' | 'replace' | 'fail'
  /** Whether replacing a job leaves its time as it is. */
  readonly keepsTime: boolean
  /** How many milliseconds after its own spawn a job that is replaced runs at the latest; null: no limit. */
  readonly longest: number | null
  readonly concurrencyKey: string | null
  readonly concurrencyLimit: number
  readonly triggeredBy: string
  /** A digest of what asked for it. */
  readonly request: string | null
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly parent: string | null
  /** Null: its type has no limit. */
  readonly rateKey: string | null
  /** The transitions that are published, with commas between them. */
  readonly lifecycle: string | null
  readonly traceparent: string | null
  readonly tracestate: string | null
}

const optionNames = [
  'delay',
  'runAt',
  'priority',
  'queue',
  'uniqueKey',
  'onDuplicate',
  'debounce',
  'throttle',
  'concurrencyKey',
  'id',
  'triggeredBy',
  'context',
  'request',
]
const noOptions: SpawnOptions = Object.freeze({})

/**
 * Makes ready to send what the user gave: everything that can be wrong with it is found here, before anything is
 * sent.
 *
 * @throws TidemarkError TIDEMARK_INVALID_INPUT, TIDEMARK_INVALID_OPTION or TIDEMARK_PAYLOAD_NOT_STORABLE.
 */
export function outgoingJob(
  definition: JobDefinition,
  given: unknown,
  options: SpawnOptions = noOptions,
  origin: SpawnOrigin,
): OutgoingJob {
  const { name, aliases } = definition
  const where = `spawn(${name})`
  if (options !== noOptions) rejectUnknownOptions(where, options, optionNames)
  const { value: input, encoded, version } = encodedInput(definition, given)
  const id = options.id === undefined ? undefined : requireUuid(where, 'id', options.id)
  const uniqueKey =
    givenKey(where, 'uniqueKey', options.uniqueKey) ??
    derivedKey(name, 'uniqueKey', () => definition.uniqueKey(input))
  const { delay, ...gathering } = gathered(where, options, uniqueKey)
  if (options.runAt !== undefined) requireTime(where, 'runAt', options.runAt)
  const seed = options.id === undefined ? origin.next?.() : undefined
  const cause = currentCause.getStore()
  const triggeredBy = options.triggeredBy ?? origin.triggeredBy
  requireText(where, 'triggeredBy', triggeredBy)
  const queue = options.queue ?? definition.queue
  requireText(where, 'queue', queue, { most: longestQueue })
  return {
    id: id ?? (seed === undefined ? newJobId() : repeatableJobId(seed)),
    name,
    names: [name, ...aliases],
    version,
    queue,
    priority: priorityOf(where, options.priority ?? definition.priority),
    runAt: options.runAt ?? null,
    delay,
    context: encodeContext(definition, options.context),
    input: encoded.json,
    inputMeta: encoded.meta,
    uniqueKey,
    ...gathering,
    concurrencyKey:
      givenKey(where, 'concurrencyKey', options.concurrencyKey) ??
      derivedKey(name, 'concurrencyKey', () => definition.concurrencyKey(input)),
    concurrencyLimit: definition.concurrency,
    triggeredBy,
    request: givenKey(where, 'request', options.request) ?? null,
    correlationId: cause?.correlationId ?? null,
    causationId: cause?.causationId ?? null,
    parent: origin.parent ?? null,
    rateKey:
      definition.limit === undefined
        ? null
        : (derivedKey(name, 'limit.rate.key', () => definition.rateKey(input), 0) ?? ''),
    lifecycle: definition.lifecycle?.join(',') ?? null,
    ...currentTrace(),
  }
}

function encodedInput(
  definition: JobDefinition,
  given: unknown,
): { readonly value: unknown; readonly encoded: EncodedValue; readonly version: number } {
  if (!(given instanceof StoredInput)) {
    return { ...encodeInput(definition, given), version: definition.version }
  }
  const { version, json, meta } = given
  const value = decodeInput(definition, version, JSON.parse(json), meta && JSON.parse(meta))
  return { value, encoded: { json, meta }, version }
}

function givenKey(where: string, option: string, key: string | undefined): string | undefined {
  if (key !== undefined) requireText(where, option, key)
  return key
}

/** What a definition makes of an input: its own code, which may throw, and answer anything. */
function derivedKey(name: string, option: string, make: () => unknown, least = 1): string | null {
  const isKey = (key: unknown): key is string | null | undefined =>
    key === undefined || key === null || problemOfText(key, { least }) === undefined
  const expected = 'a text of at most 1,000 bytes, without NUL'
  const answer = ask(`${option} of ${name}`, make, isKey, expected, 'TIDEMARK_INVALID_INPUT')
  if (!answer.ok) throw answer.error
  return answer.value ?? null
}
