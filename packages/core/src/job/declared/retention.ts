import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { milliseconds, type Duration } from '../../listener/declared/backoff.ts'

/** How long finished jobs are kept, with their attempts, steps and logs. Each limit stands alone. */
export interface JobRetention {
  /** How long after its end a completed or cancelled job is deleted. Defaults to never. */
  readonly age?: Duration
  /** How many completed and cancelled jobs of the type are kept: the newest. Defaults to all. */
  readonly count?: number
  /** How long after its end a failed job is deleted: nobody can retry it then. Defaults to never. */
  readonly failed?: Duration
}

/** The options in milliseconds; null: no limit. */
export interface DeclaredRetention {
  readonly age: number | null
  readonly count: number | null
  readonly failed: number | null
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function declaredRetention(where: string, retention: JobRetention): DeclaredRetention {
  rejectUnknownOptions(`${where}: retention`, retention, ['age', 'count', 'failed'])
  const { age, count, failed } = retention
  if (count !== undefined) requireWhole(where, 'retention.count', count, 0)
  return {
    age: age === undefined ? null : milliseconds(age),
    count: count ?? null,
    failed: failed === undefined ? null : milliseconds(failed),
  }
}
