import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import type { EncodedValue } from '../../event/codec.ts'
import { milliseconds } from '../../listener/declared/backoff.ts'
import type { SpawnOptions, SpawnOrigin } from '../../listener/declared/spawning.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import { activeTraceContext } from '../../telemetry/trace-context.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { encodeContext, encodeInput } from '../defined/job-codec.ts'
import { newJobId, repeatableJobId } from './job-id.ts'

/** A job as it is sent to the database. */
export interface OutgoingJob {
  readonly id: string
  readonly name: string
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
  readonly concurrencyKey: string | null
  readonly concurrencyLimit: number
  readonly triggeredBy: string
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
  'concurrencyKey',
  'id',
  'triggeredBy',
  'context',
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
  const { name } = definition
  if (options !== noOptions) rejectUnknownOptions(`spawn(${name})`, options, optionNames)
  const { value: input, encoded } = encodeInput(definition, given)
  const priority = options.priority ?? definition.priority
  requireWhole(`spawn(${name})`, 'priority', priority, Number.MIN_SAFE_INTEGER)
  const seed = options.id === undefined ? origin.next?.() : undefined
  const cause = currentCause.getStore()
  return {
    id: options.id ?? (seed === undefined ? newJobId() : repeatableJobId(seed)),
    name,
    version: definition.version,
    queue: options.queue ?? definition.queue,
    priority,
    runAt: options.runAt ?? null,
    delay: options.delay === undefined ? 0 : milliseconds(options.delay),
    context: encodeContext(definition, options.context),
    input: encoded.json,
    inputMeta: encoded.meta,
    uniqueKey: options.uniqueKey ?? definition.uniqueKey(input) ?? null,
    onDuplicate: options.onDuplicate ?? 'keep',
    concurrencyKey: options.concurrencyKey ?? definition.concurrencyKey(input) ?? null,
    concurrencyLimit: definition.concurrency,
    triggeredBy: options.triggeredBy ?? origin.triggeredBy,
    correlationId: cause?.correlationId ?? null,
    causationId: cause?.causationId ?? null,
    parent: origin.parent ?? null,
    rateKey: definition.limit === undefined ? null : definition.rateKey(input),
    lifecycle: definition.lifecycle?.join(',') ?? null,
    ...activeTraceContext(),
  }
}
