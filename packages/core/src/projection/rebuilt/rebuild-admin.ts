import { run, type PreparingExecutor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { lockGeneration, rebuildProgress } from '../../database/sql/projection/rebuild.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { requireText } from '../../errors/checked-text.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { clearRebuild, readProgress, type ProgressRow } from './rebuild.ts'

/** A rebuild under way. */
export interface RebuildProgress {
  readonly projection: string
  /** The version that the new generation is of. */
  readonly version: number
  readonly state: 'running' | 'paused' | 'halted'
  /** How far the new generation has come, … */
  readonly cursor: EventSequence
  /** … and the live one, which it has to catch up with. */
  readonly liveCursor: EventSequence
  /** Between 0 and 1. */
  readonly fraction: number
  /** Sequences a second since it started, pauses included. */
  readonly rate: number
  /** How many seconds are left at that rate; null when it cannot be told. */
  readonly secondsLeft: number | null
  readonly startedAt: Date
  /** What its last attempt failed with, whether it has halted or will try again. */
  readonly error: ErrorDescription | null
  /**
   * How many events the new generation has set aside or passed over, by the projection's failure policy: what they change
   * is missing from it, also when it has become the live one.
   */
  readonly setAside: number
  /** The same of the live generation. */
  readonly liveSetAside: number
}

/** Looking at rebuilds and steering them, from any process. */
export class RebuildAdmin {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /** The rebuild of a projection; undefined when none is under way. */
  async progress(projection: string): Promise<RebuildProgress | undefined> {
    requireText('rebuilds.progress', 'projection', projection)
    const row = await readProgress(this.#database, this.#schema, projection)
    return row === undefined ? undefined : toProgress(row)
  }

  /** All rebuilds under way, by name. */
  async list(): Promise<RebuildProgress[]> {
    const { rows } = await run(this.#database, rebuildProgress(this.#schema), [null])
    return (rows as unknown as ProgressRow[]).map(toProgress)
  }

  /** Stops a rebuild after the batches under way; it keeps what it has. */
  async pause(projection: string): Promise<void> {
    await this.#steer(projection, async (executor, row) => {
      await setPaused(executor, this.#schema, projection, row, true)
    })
  }

  /** Lets a paused or halted rebuild go on. */
  async resume(projection: string): Promise<void> {
    await this.#steer(projection, async (executor, row) => {
      await setPaused(executor, this.#schema, projection, row, false)
    })
  }

  /** Gives a rebuild up and drops what it made. The live generation is untouched. */
  async cancel(projection: string): Promise<void> {
    await this.#steer(projection, (executor, row) =>
      clearRebuild(executor, this.#schema, projection, row),
    )
  }

  async #steer(
    projection: string,
    change: (executor: PreparingExecutor, row: ProgressRow) => Promise<void>,
  ): Promise<void> {
    requireText('rebuilds', 'projection', projection)
    await inTransaction(this.#database, brief, async (transaction) => {
      const row = await readProgress(transaction, this.#schema, projection)
      if (row === undefined) {
        throw new TidemarkError('TIDEMARK_NO_REBUILD', `${projection} is not being rebuilt`, {
          details: { projection },
        })
      }
      await run(transaction, lockGeneration(this.#schema), [projection, row.rebuild_generation])
      await change(transaction, row)
    })
  }
}

function toProgress(row: ProgressRow): RebuildProgress {
  const cursor = BigInt(row.cursor) as EventSequence
  const liveCursor = BigInt(row.live_cursor) as EventSequence
  const rate = row.seconds > 0 ? Number(cursor) / row.seconds : 0
  return {
    projection: row.projection,
    version: row.rebuild_version,
    state: row.halted ? 'halted' : row.rebuild_paused ? 'paused' : 'running',
    cursor,
    liveCursor,
    fraction: liveCursor === 0n ? 1 : Math.min(1, Number(cursor) / Number(liveCursor)),
    rate,
    secondsLeft: rate > 0 ? Math.max(0, Number(liveCursor - cursor) / rate) : null,
    startedAt: row.rebuild_started_at,
    error: row.error,
    setAside: row.set_aside,
    liveSetAside: row.live_set_aside,
  }
}

async function setPaused(
  executor: PreparingExecutor,
  schema: string,
  projection: string,
  row: ProgressRow,
  paused: boolean,
): Promise<void> {
  // Whoever runs it loses its lease, and takes it again when it may.
  await executor.query(
    `UPDATE "${schema}".cursors
     SET epoch = epoch + 1, owner = NULL, lease_until = NULL, halted_at = NULL, attempts = 0,
         failed_sequence = NULL, next_attempt_at = NULL, last_error = NULL
     WHERE listener = $1 AND generation = $2`,
    [projection, row.rebuild_generation],
  )
  await executor.query(
    `UPDATE "${schema}".listeners SET rebuild_paused = $2, updated_at = clock_timestamp() WHERE name = $1`,
    [projection, paused],
  )
}
