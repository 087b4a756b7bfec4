import {
  run,
  type Executor,
  type PreparingExecutor,
  type QueryResult,
} from '../../database/executor.ts'
import { completeLargeJobs } from '../../database/sql/job/job-outputs.ts'
import { completeJobs } from '../../database/sql/job/job-settle.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import type { PlacedOutput } from '../outputs/large-output.ts'

/** A job that has ended well, and what it answered. */
export interface Completion {
  readonly attempt: Attempt
  readonly output: PlacedOutput
}

/**
 * Writes completions in one statement.
 *
 * @returns how many of the jobs were still their attempt's.
 */
export async function writeCompletions(
  executor: Executor | PreparingExecutor,
  { outbox }: JobEnvironment,
  completions: readonly Completion[],
): Promise<number> {
  // In the order of ids, as everybody who locks several.
  const sorted = completions.toSorted((a, b) => (a.attempt.job.id < b.attempt.job.id ? -1 : 1))
  const placed = sorted.map(({ output }) => output)
  const silent = placed.every(({ row }) => row === null)
  const values = [
    sorted.map(({ attempt }) => attempt.job.id),
    sorted.map(({ attempt }) => attempt.job.token),
    silent ? null : placed.map(({ row }) => row?.json ?? null),
    silent ? null : placed.map(({ row }) => row?.meta ?? null),
  ]
  const large = placed.flatMap(({ large: output }, index) =>
    output === null ? [] : [{ ...output, job: sorted[index]?.attempt.job.id }],
  )
  if (large.length === 0) {
    return countOf(await run(executor, completeJobs(outbox.schema), values))
  }
  const answer = await run(executor, completeLargeJobs(outbox.schema), [
    ...values,
    large.map(({ job }) => job),
    large.map(({ key }) => key),
    large.map(({ value }) => value.json),
    large.map(({ value }) => value.meta),
  ])
  return countOf(answer)
}

function countOf({ rows }: QueryResult): number {
  return (rows[0]?.['completed'] as number | undefined) ?? 0
}
