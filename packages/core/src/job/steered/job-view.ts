import type { ErrorDescription } from '../../errors/describe-error.ts'
import { decodeValue } from '../../event/encoded/codec.ts'
import { isCoded } from '../coded/job-values.ts'
import { largeOutputSize } from '../outputs/large-output.ts'

/** All statuses of a job. */
export const jobStatuses = [
  'scheduled',
  'queued',
  'running',
  'paused',
  'completed',
  'failed',
  'cancelled',
] as const

/** Where a job stands. */
export type JobStatus = (typeof jobStatuses)[number]

/** The statuses that a job stays in. */
export const finishedStatuses: readonly JobStatus[] = ['completed', 'failed', 'cancelled']

/** A job as operators see it. */
export interface JobView {
  readonly id: string
  readonly name: string
  readonly queue: string
  readonly status: JobStatus
  /**
   * Why a queued job is not run: `key`: others with its concurrency key are; `type`: no live process knows it in the version that it needs, see `needs`;
   * `limit`: the limit of its type does not let it; `pause`: its queue or its type was paused;
   * `new`: its key has not been looked at yet.
   */
  readonly parked: 'new' | 'key' | 'type' | 'limit' | 'pause' | null
  /** Whether it has failed and is tried again: it waits for its next attempt, or is at it. */
  readonly retrying: boolean
  /** What was asked of it while it runs. */
  readonly requested: 'pause' | 'cancel' | null
  /** The least version of its definition that can go on with it. */
  readonly needs: number
  readonly priority: number
  readonly attempt: number
  readonly input: unknown
  readonly output: unknown
  /**
   * How many characters of JSON the output has when it is kept apart, because it is large: `output` is undefined in a
   * list then, and `get` reads it. Null: it is with the job, or there is none.
   */
  readonly largeOutput: number | null
  /**
   * Whether a codec has written the output (compressed it, encrypted it): `output` is undefined in a list then, and `get`
   * reads it.
   */
  readonly encodedOutput: boolean
  /** Why `get` could not read the output, whose codec or key this process does not have; null: it could, or did not try. */
  readonly unreadable: string | null
  /** Of the last attempt that failed; null once it has completed: what it failed with before is in its attempts. */
  readonly error: ErrorDescription | null
  /**
   * What it waits for, if it does: `{ for: 'unique key' }` is the end of the job that it was to replace,
   * `{ for: 'process', type, version }` a process that knows its type in this version.
   */
  readonly waiting: Readonly<Record<string, unknown>> | null
  readonly progress: unknown
  /** When it last stored its state. */
  readonly checkpointAt: Date | null
  readonly uniqueKey: string | null
  readonly concurrencyKey: string | null
  readonly triggeredBy: string
  readonly correlationId: string | null
  readonly causationId: string | null
  readonly parent: string | null
  /** The process that runs it. */
  readonly process: string | null
  readonly createdAt: Date
  /** When it may run next; null: when what it waits for is there. */
  readonly runAt: Date | null
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
}

/** A step of a job as operators see it. */
export interface StepView {
  readonly id: string
  /** `retrying`: it has failed, and is tried again by the present attempt or the next. `failed`: for good, or with its job. */
  readonly status: 'completed' | 'failed' | 'retrying'
  readonly output: unknown
  /** Why the output could not be read: a codec has written it, which or whose key this process does not have. Else null. */
  readonly unreadable: string | null
  readonly error: ErrorDescription | null
  readonly startedAt: Date
  readonly completedAt: Date | null
}

/** The columns that {@link jobView} reads, of a job `j` and its state `s`. */
export const jobColumns = `j.id, j.name, j.queue, j.status, j.parked, j.requested, j.needs, j.priority, j.attempt, j.input,
  j.input_meta, j.output, j.output_meta, j.error, j.waiting, s.progress, s.checkpoint_at, j.unique_key, j.concurrency_key,
  j.triggered_by, j.correlation_id, j.causation_id, j.parent, j.process, j.created_at,
  nullif(j.run_at, 'infinity') AS run_at, j.started_at, j.finished_at`

/** A row of {@link jobColumns} as operators see it. */
export function jobView(row: Record<string, unknown>): JobView {
  // Each column has the type that its query gives it.
  const value = (column: string): never => row[column] as never
  const output = { output: row['output'], meta: row['output_meta'] }
  const largeOutput = largeOutputSize(output)
  const encodedOutput = isCoded(output.meta)
  return {
    id: value('id'),
    name: value('name'),
    queue: value('queue'),
    status: value('status'),
    parked: value('parked'),
    retrying:
      row['error'] !== null &&
      (row['status'] === 'running' ||
        (['scheduled', 'queued'].includes(row['status'] as string) && row['waiting'] === null)),
    requested: value('requested'),
    needs: value('needs'),
    priority: value('priority'),
    attempt: value('attempt'),
    input: decodeValue(row['input'], row['input_meta']),
    output:
      output.output === null || largeOutput !== null || encodedOutput
        ? undefined
        : decodeValue(output.output, output.meta),
    largeOutput,
    encodedOutput,
    unreadable: null,
    error: row['status'] === 'completed' ? null : value('error'),
    waiting:
      row['parked'] === 'type'
        ? { for: 'process', type: row['name'], version: row['needs'] }
        : value('waiting'),
    progress: value('progress'),
    checkpointAt: value('checkpoint_at'),
    uniqueKey: value('unique_key'),
    concurrencyKey: value('concurrency_key'),
    triggeredBy: value('triggered_by'),
    correlationId: value('correlation_id'),
    causationId: value('causation_id'),
    parent: value('parent'),
    process: row['status'] === 'running' ? value('process') : null,
    createdAt: value('created_at'),
    runAt: value('run_at'),
    startedAt: value('started_at'),
    finishedAt: value('finished_at'),
  }
}
