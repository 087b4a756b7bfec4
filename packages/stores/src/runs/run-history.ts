import {
  rejectUnknownOptions,
  runJob,
  stderrLogger,
  type ErrorDescription,
  type JobResult,
  type Logger,
  type RunJobContext,
  type RunJobOptions,
} from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import type { NewState, State } from '../contract/state.ts'
import { requireWhole } from '../opened/checked.ts'

/** A run as the history has it. */
export interface RunRecord {
  readonly id: string
  readonly name: string
  /** `running` also for one whose process has died: nobody has said how it ended. */
  readonly status: 'running' | 'succeeded' | 'failed'
  readonly triggeredBy: string
  readonly startedAt: Date
  /** Null while it runs. */
  readonly finishedAt: Date | null
  /** In milliseconds; null while it runs. */
  readonly duration: number | null
  /** What it answered; undefined where that cannot be stored, and the log says why. */
  readonly output: unknown
  readonly error: ErrorDescription | null
}

/** Where the history is kept, and for how long. */
export interface RunHistoryOptions {
  /** Give it a store or a name or prefix of its own: `list` shows what is in it. */
  readonly store: StateStore<RunRecord>
  /** How long a run is kept after its end, in milliseconds. Defaults to 2,592,000,000 (30 days). */
  readonly retention?: number
  /** Where the runs log, and what could not be stored of them. Defaults to warnings and errors on stderr. */
  readonly logger?: Logger
}

/** Which runs, those started last first. */
export interface RunListOptions {
  readonly name?: string
  readonly status?: RunRecord['status']
  readonly triggeredBy?: string
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

/** Functions that are run as jobs, and what became of them. */
export interface RunHistory {
  /**
   * `runJob`, and the run is in the history from its start to its end. Neither waits for the store before it begins, nor
   * fails because of it: a run that could not be stored is a warning in the log.
   */
  run<T>(
    name: string,
    work: (context: RunJobContext) => Promise<T> | T,
    options?: RunJobOptions,
  ): Promise<JobResult<T>>
  /** @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE or TIDEMARK_STATE_UNREADABLE. */
  get(id: string): Promise<RunRecord | undefined>
  /** @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE or TIDEMARK_STATE_UNREADABLE. */
  list(options?: RunListOptions): Promise<RunPage>
}

const mostNameBytes = 100
const mostTriggerBytes = 256

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
  rejectUnknownOptions('runHistory', options, ['store', 'retention', 'logger'])
  const { store, retention = 2_592_000_000, logger = stderrLogger } = options
  requireWhole('runHistory', 'retention', retention, 1, 3_162_240_000_000)

  /** Whether the run was stored. */
  async function note(record: RunRecord, ttl: number | null): Promise<boolean> {
    try {
      await store.put(record.id, stateOf(record, ttl))
      return true
    } catch (error) {
      const { id, name, status } = record
      logger.warn({ run: id, name, status, err: error }, `${name}: the run is not in the history`)
      return false
    }
  }

  return {
    async run(name, work, runOptions = {}) {
      const triggeredBy = runOptions.triggeredBy ?? 'system'
      let begun: Promise<boolean> = Promise.resolve(true)
      const result = await runJob(
        name,
        (context) => {
          const blank = { finishedAt: null, duration: null, output: undefined, error: null }
          const { id } = context
          begun = note(
            { id, name, status: 'running', triggeredBy, startedAt: new Date(), ...blank },
            null,
          )
          return work(context)
        },
        { logger, ...runOptions },
      )
      const { id, status, startedAt, finishedAt, duration } = result
      const ended = { id, name, status, triggeredBy, startedAt, finishedAt, duration }
      // One after the other, or the beginning might overwrite the end.
      await begun
      if (result.ok) {
        const stored = await note({ ...ended, output: result.output, error: null }, retention)
        // How it ended is known also where what it answered cannot be stored.
        if (!stored) await note({ ...ended, output: undefined, error: null }, retention)
      } else {
        await note({ ...ended, output: undefined, error: result.description }, retention)
      }
      return result
    },
    async get(id) {
      return (await store.get(id))?.value
    },
    async list({ triggeredBy, ...rest } = {}) {
      rejectUnknownOptions('list', rest, ['name', 'status', 'limit', 'after'])
      const { states, next } = await store.list({
        ...rest,
        ...(triggeredBy === undefined ? {} : { fields: { triggeredBy } }),
      })
      return { runs: states.map(({ value }: State<RunRecord>) => value), next }
    },
  }
}

/** Long names and triggers are whole in the record; only filters see their beginning. */
function stateOf(record: RunRecord, ttl: number | null): NewState<RunRecord> {
  const { name, status, triggeredBy } = record
  return {
    value: record,
    name: cut(name, mostNameBytes) || null,
    status,
    fields: { triggeredBy: cut(triggeredBy, mostTriggerBytes) },
    ttl,
  }
}

function cut(text: string, most: number): string {
  const whole = Buffer.from(text.toWellFormed().replaceAll('\0', ' '))
  if (whole.length <= most) return whole.toString()
  // What is left of a character that was cut is a replacement character, which goes too.
  return whole
    .subarray(0, most - 3)
    .toString()
    .replace(/\uFFFD$/u, '')
}
