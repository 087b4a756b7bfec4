import { run, type Executor } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { forgetSamples, takeSample } from '../../database/sql/operations/samples.ts'
import { requireTime } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import type { EventSequence } from '../../event/sequence.ts'

/** How things stood in one minute. */
export interface Sample {
  /** The beginning of the minute. */
  readonly at: Date
  readonly lastSequence: EventSequence
  /** The sum of what listeners had come past: its growth is what they handle, all together. */
  readonly handled: bigint
  /** How far the slowest listener was behind, in seconds. */
  readonly lagSeconds: number
  readonly deadLetters: number
  readonly processes: number
  readonly queued: number
  readonly running: number
  readonly failed: number
}

/** How things stood in the last hours: workers write a sample a minute, and keep those of a day. */
export class History {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /**
   * The samples since a time, the oldest first; minutes in which no worker ran are missing.
   *
   * @param options.since - defaults to all, which is a day.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   */
  async list(options: { readonly since?: Date } = {}): Promise<Sample[]> {
    rejectUnknownOptions('history.list', options, ['since'])
    const { since } = options
    if (since !== undefined) requireTime('history.list', 'since', since)
    const { rows } = await this.#database.query(
      `SELECT s.at, s.last_sequence, s.handled, s.lag_seconds, s.dead_letters, s.processes,
         s.queued::float8, s.running::float8, s.failed::float8
       FROM "${this.#schema}".samples s WHERE $1::timestamptz IS NULL OR s.at >= $1 ORDER BY s.at LIMIT 2000`,
      [since ?? null],
    )
    return rows.map((row) => ({
      at: row['at'] as Date,
      lastSequence: BigInt(row['last_sequence'] as string) as EventSequence,
      handled: BigInt(row['handled'] as string),
      lagSeconds: row['lag_seconds'] as number,
      deadLetters: row['dead_letters'] as number,
      processes: row['processes'] as number,
      queued: row['queued'] as number,
      running: row['running'] as number,
      failed: row['failed'] as number,
    }))
  }
}

/** Writes down how things stand, unless this minute has been, and forgets what is old. */
export async function sample(database: Executor, schema: string): Promise<void> {
  await run(database, takeSample(schema), [])
  await run(database, forgetSamples(schema), [])
}
