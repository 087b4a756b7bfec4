import { run, type PreparingExecutor } from '../../database/executor.ts'
import {
  findSkips,
  forgetSamples,
  readSamples,
  sampleHorizon,
} from '../../database/sql/outbox/skip-detector.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { readHorizon } from './horizon.ts'

/** An event that turned up at or below a horizon that readers had passed: they may have skipped it. */
export interface Skip {
  readonly sequence: EventSequence
  /** The transaction that published it. */
  readonly xid: string
  /** The horizon that it turned up behind, and when that was taken. */
  readonly horizon: EventSequence
  readonly sampledAt: Date
}

/** What the samples say. */
export interface SkipReport {
  /** How many horizons were looked behind. */
  readonly samples: number
  readonly skips: readonly Skip[]
}

interface SampleRow {
  readonly late: string | null
  readonly late_xid: string | null
  readonly horizon: string
  readonly sampled_at: Date
}

/**
 * Proves after the fact that the horizon holds: remembers it with a snapshot in which everything up to it must be
 * visible, and looks later whether something turned up that was not. Answers what was found for the first time.
 *
 * @param interval - how long ago the last sample must be for a new one, in milliseconds.
 */
export async function detectSkips(
  executor: PreparingExecutor,
  schema: string,
  interval: number,
): Promise<readonly Skip[]> {
  const { rows } = await run(executor, findSkips(schema), [])
  // INVARIANT: the sample's snapshot is taken by a statement after the one that took the horizon, as readers do.
  const { sequence } = await readHorizon(executor, schema)
  await run(executor, sampleHorizon(schema), [sequence, interval])
  await run(executor, forgetSamples(schema), [])
  return (rows as unknown as SampleRow[]).map(toSkip)
}

/** What the samples say now; changes nothing. */
export async function readSkips(executor: PreparingExecutor, schema: string): Promise<SkipReport> {
  const { rows } = await run(executor, readSamples(schema), [])
  const samples = rows as unknown as SampleRow[]
  return {
    samples: samples.length,
    skips: samples.filter(({ late }) => late !== null).map(toSkip),
  }
}

function toSkip(row: SampleRow): Skip {
  return {
    sequence: BigInt(row.late as string) as EventSequence,
    xid: row.late_xid as string,
    horizon: BigInt(row.horizon) as EventSequence,
    sampledAt: row.sampled_at,
  }
}
