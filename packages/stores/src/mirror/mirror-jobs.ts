import {
  decodeValue,
  defineListener,
  exponential,
  isTidemarkError,
  jobCancelled,
  jobCompleted,
  jobFailed,
  jobPaused,
  jobRescued,
  jobResumed,
  jobRetried,
  jobSpawned,
  jobStarted,
  jobSuspended,
  milliseconds,
  rejectUnknownOptions,
  requireApp,
  TidemarkError,
  type App,
  type Duration,
  type Listener,
} from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { invalid, requireText, requireWhole } from '../opened/checked.ts'
import { afterTransition, stateOf, type MirroredJob } from './mirrored-job.ts'
import { reconcile, type MirrorReport, type MirrorSyncOptions } from './reconcile.ts'

/** What is mirrored, and where to. */
export interface MirrorOptions {
  /** A store of its own. */
  readonly to: StateStore<MirroredJob>
  /** The name of its listener. Defaults to `jobs.mirror`. */
  readonly name?: string
  /** How long a job stays in the mirror after its end. Defaults to 30 days. */
  readonly retention?: Duration
  /** How long a write may take, before it is tried again. Defaults to 5 s. */
  readonly timeout?: Duration
  /** The schema of Tidemark's tables. Defaults to `tidemark`. */
  readonly schema?: string
  /** How many jobs are written at once; those of one job come one after the other. Defaults to 4. */
  readonly partitions?: number
}

/** How far a mirror is behind. */
export interface MirrorLag {
  /** How many transitions are not in the store yet, at most. */
  readonly events: bigint
  /** For how long the oldest of them waits. */
  readonly seconds: number
  /** What the last attempt failed with; null when it is well. */
  readonly error: string | null
}

/** A mirror of jobs. Pass it to `defineApp` as a module. */
export interface JobMirror {
  readonly listener: Listener
  /**
   * How far it is behind.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION for what is no application.
   */
  lag(app: App): Promise<MirrorLag>
  /**
   * Compares the mirror with the table of jobs and mends what differs: for a store that has lost something, and for jobs
   * without `lifecycle`.
   *
   * @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE or TIDEMARK_INVALID_OPTION.
   */
  sync(app: App, options?: MirrorSyncOptions): Promise<MirrorReport>
}

// Whatever becomes of the store, the transition stays in the outbox and is tried again.
const attempts = 2_147_483_647

/** Trying again does not help: the next transition of the job, or `sync`, writes it. */
const hopeless: ReadonlySet<string> = new Set([
  'TIDEMARK_STATE_TOO_LARGE',
  'TIDEMARK_PAYLOAD_NOT_STORABLE',
  'TIDEMARK_INVALID_OPTION',
  'TIDEMARK_CALLBACK_FAILED',
  // Something else is under the key of the job: that is for somebody to look at, and not for all other jobs to wait for.
  'TIDEMARK_STATE_UNREADABLE',
])

/**
 * Mirrors jobs into a store: each transition of each job with `lifecycle: true`, those of one job in their order.
 *
 * It is a listener, so the outbox is its queue: a store that is away costs lag, and neither memory nor a job's time. Each
 * write has the sequence of its event as its token, so that a process that was frozen and writes late changes nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { memoryStore } from '@tidemark/stores/memory'
 * import { mirrorJobs, type MirroredJob } from '@tidemark/stores/mirror'
 * import { defineApp, defineJob } from 'tidemark'
 * import { z } from 'zod'
 *
 * const store = memoryStore<MirroredJob>()
 * const mirror = mirrorJobs({ to: store })
 * const ping = defineJob('ping', { input: z.object({}), lifecycle: true, run: () => 'pong' })
 * const tidemark = defineApp({ modules: [ping, mirror] })
 *
 * const { states } = await store.list({ status: 'failed' })
 * console.log(states.map(({ value }) => value.error?.message), await mirror.lag(tidemark))
 * ```
 */
export function mirrorJobs(options: MirrorOptions): JobMirror {
  const known = ['to', 'name', 'retention', 'timeout', 'schema', 'partitions']
  rejectUnknownOptions('mirrorJobs', options, known)
  const { to: store, name = 'jobs.mirror', partitions = 4 } = options
  if (typeof store?.put !== 'function') throw invalid('mirrorJobs', 'to', 'must be a store')
  const retention = milliseconds(options.retention ?? '30d')
  const timeout = milliseconds(options.timeout ?? '5s')
  requireWhole('mirrorJobs', 'partitions', partitions, 1, 1_000)
  requireWhole('mirrorJobs', 'timeout', timeout, 1, 2_147_483_647)
  const { schema = 'tidemark' } = options
  requireText('mirrorJobs', 'schema', schema, 63)
  const exitQuery = exitOf(schema)

  const listener = defineListener(name, {
    // A job that began before the mirror is in it, too.
    startFrom: 'beginning',
    partitions,
    retry: {
      attempts,
      backoff: exponential('100ms', '30s'),
      retryable: (error) => !(isTidemarkError(error) && hopeless.has(error.code)),
    },
    onFailure: 'park',
  }).on(
    [
      jobSpawned,
      jobStarted,
      jobSuspended,
      jobRetried,
      jobRescued,
      jobPaused,
      jobResumed,
      jobCompleted,
      jobFailed,
      jobCancelled,
    ],
    async ({ payload, recordedAt, sequence }, { tx }) => {
      let exit: unknown
      if (payload.status === 'completed') {
        const { rows } = await tx.query(exitQuery, [payload.job])
        exit = rows[0] === undefined ? null : readable(rows[0]['output'], rows[0]['output_meta'])
      }
      const job = afterTransition(payload, recordedAt, exit, retention)
      try {
        await within(timeout, store.put(job.jobId, stateOf(job), { token: sequence }))
      } catch (error) {
        // `sync` has written what is at least as new.
        if (!isTidemarkError(error, 'TIDEMARK_STATE_FENCED')) throw error
      }
    },
  )

  return {
    listener,
    async lag(app) {
      requireApp('lag', app)
      const { lag, lagSeconds, partitions: all } = await app.listeners.get(name)
      const failed = all.find(({ lastError }) => lastError !== null)
      return { events: lag, seconds: lagSeconds, error: failed?.lastError?.message ?? null }
    },
    async sync(app, syncOptions = {}) {
      requireApp('sync', app)
      return reconcile(app, store, retention, syncOptions)
    },
  }
}

/** What a job answered, unless it is kept apart because it is large, or a codec has written it, and perhaps for few. */
function exitOf(schema: string): string {
  return `SELECT output, output_meta FROM "${schema.replaceAll('"', '""')}".jobs
WHERE id = $1::uuid AND status = 'completed' AND coalesce(output_meta::text, '')
  NOT IN ('{"values": [["custom", "tidemark.output"]]}', '{"values": [["custom", "tidemark.coded"]]}')`
}

/** Null where it cannot be read: that keeps no other job from the mirror. */
function readable(output: unknown, notes: unknown): unknown {
  try {
    return decodeValue(output, notes)
  } catch {
    return null
  }
}

/** Also a store that does not keep to a time-out of its own keeps nobody longer. */
async function within<T>(timeout: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const message = `the mirror's store did not answer within ${timeout} ms`
    late.reject(new TidemarkError('TIDEMARK_STORE_UNAVAILABLE', message))
  }, timeout)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
    // What comes after it was given up, nobody waits for.
    work.catch(() => {})
  }
}
