import {
  rejectUnknownOptions,
  runJob,
  stderrLogger,
  type JobResult,
  type Logger,
  type RunJobContext,
  type RunJobOptions,
} from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import type { State, StateFilter } from '../contract/state.ts'
import { invalid, requireText, requireWhole } from '../opened/checked.ts'
import { RunNotes } from './run-notes.ts'
import { nameLabel, thisNode, triggerLabel, type RunRecord } from './run-record.ts'

/** Where the history is kept, and for how long. */
export interface RunHistoryOptions {
  /** Give it a store or a name or prefix of its own: `list` shows what is in it. */
  readonly store: StateStore<RunRecord>
  /** How long a run is kept after its end, in milliseconds. Defaults to 2,592,000,000 (30 days). */
  readonly retention?: number
  /**
   * How often a run that goes on says so, in milliseconds: after three times as long without a word it is `lost`. The same
   * for all processes that share the store. Defaults to 10,000.
   */
  readonly heartbeat?: number
  /** Where the runs log, and what could not be stored of them. Defaults to warnings and errors on stderr. */
  readonly logger?: Logger
}

/** Which runs, those started last first. */
export interface RunListOptions {
  readonly name?: string
  readonly status?: RunRecord['status']
  readonly triggeredBy?: string
  /** Started at or after this time. */
  readonly startedFrom?: Date
  /** Started before this time. */
  readonly startedBefore?: Date
  /** From 1 to 1,000. Defaults to 100. */
  readonly limit?: number
  /** The `next` of the page before. */
  readonly after?: string
}

/** Some of the runs. */
export interface RunPage {
  readonly runs: readonly RunRecord[]
  /** Where the next page begins; null: this was the last one. */
  readonly next: string | null
}

const statuses: readonly RunRecord['status'][] = ['running', 'succeeded', 'failed', 'lost']
const listNames = [
  'name',
  'status',
  'triggeredBy',
  'startedFrom',
  'startedBefore',
  'limit',
  'after',
] as const

/** Functions that are run as jobs, and what became of them. */
export interface RunHistory {
  /**
   * `runJob`, and the run is in the history from its start to its end. It neither waits for the store before it begins, nor
   * fails because of it: an end that could not be stored is a warning in the log, and stored when the store is back.
   */
  run<T>(
    name: string,
    work: (context: RunJobContext) => Promise<T> | T,
    options?: RunJobOptions,
  ): Promise<JobResult<T>>
  /** @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE or TIDEMARK_STATE_UNREADABLE. */
  get(id: string): Promise<RunRecord | undefined>
  /** @throws TidemarkError TIDEMARK_INVALID_OPTION, TIDEMARK_STORE_UNAVAILABLE or TIDEMARK_STATE_UNREADABLE. */
  list(options?: RunListOptions): Promise<RunPage>
}

/**
 * Keeps the history of functions that are run as jobs, with a store alone: a small service begins here, and moves to
 * jobs in Postgres when it wants them repeated and resumed.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { memoryStore } from '@tidemark/stores/memory'
 * import { runHistory } from '@tidemark/stores/runs'
 *
 * const history = runHistory({ store: memoryStore() })
 * await history.run('fetch_rates', async () => ['EUR', 'USD'], { triggeredBy: 'cron' })
 * const { runs } = await history.list({ name: 'fetch_rates' })
 * console.log(runs[0]?.status, runs[0]?.duration, runs[0]?.output)
 * ```
 */
export function runHistory(options: RunHistoryOptions): RunHistory {
  rejectUnknownOptions('runHistory', options, ['store', 'retention', 'heartbeat', 'logger'])
  const { store, retention = 2_592_000_000, heartbeat = 10_000, logger = stderrLogger } = options
  requireWhole('runHistory', 'retention', retention, 1, 3_162_240_000_000)
  requireWhole('runHistory', 'heartbeat', heartbeat, 1, 86_400_000)
  const notes = new RunNotes(store, heartbeat, logger)
  const lastHeard = (): Date => new Date(Date.now() - 3 * heartbeat)

  /** Nobody writes down that a run is lost: it shows in when it was last heard of. */
  function recordOf({ value, updatedAt }: State<RunRecord>): RunRecord {
    const lost = value.status === 'running' && updatedAt < lastHeard()
    return lost ? { ...value, status: 'lost' } : value
  }

  function byStatus(status: RunRecord['status'] | undefined): StateFilter {
    if (status === 'lost') return { status: 'running', updatedBefore: lastHeard() }
    if (status === 'running') return { status, updatedFrom: lastHeard() }
    return status === undefined ? {} : { status }
  }

  return {
    async run(name, work, runOptions = {}) {
      const triggeredBy = runOptions.triggeredBy ?? 'system'
      let begun: Promise<void> = Promise.resolve()
      const result = await runJob(
        name,
        (context) => {
          const blank = { finishedAt: null, duration: null, output: undefined, error: null }
          const { id } = context
          const startedAt = new Date()
          const beginning = { id, name, triggeredBy, node: thisNode, startedAt, ...blank }
          begun = notes.begin({ ...beginning, status: 'running' })
          return work(context)
        },
        { logger, ...runOptions },
      )
      const { id, status, startedAt, finishedAt, duration } = result
      const ended = {
        id,
        name,
        status,
        triggeredBy,
        node: thisNode,
        startedAt,
        finishedAt,
        duration,
      }
      // One after the other, or the beginning might overwrite the end.
      await begun
      await notes.end(
        result.ok
          ? { ...ended, output: result.output, error: null }
          : { ...ended, output: undefined, error: result.description },
        retention,
      )
      return result
    },
    async get(id) {
      const state = await store.get(id)
      return state === undefined ? undefined : recordOf(state)
    },
    async list(listOptions = {}) {
      rejectUnknownOptions('list', listOptions, listNames)
      const { name, triggeredBy, status, startedFrom, startedBefore, ...rest } = listOptions
      for (const [option, text] of Object.entries({ name, triggeredBy })) {
        if (text !== undefined) requireText('list', option, text, Infinity)
      }
      if (status !== undefined && !statuses.includes(status)) {
        throw invalid('list', 'status', `must be one of ${statuses.join(', ')}`)
      }
      const { states, next } = await store.list({
        ...rest,
        ...byStatus(status),
        ...(name === undefined ? {} : { name: nameLabel(name) }),
        ...(triggeredBy === undefined
          ? {}
          : { fields: { triggeredBy: triggerLabel(triggeredBy) } }),
        ...(startedFrom === undefined ? {} : { createdFrom: startedFrom }),
        ...(startedBefore === undefined ? {} : { createdBefore: startedBefore }),
      })
      return { runs: states.map(recordOf), next }
    },
  }
}
