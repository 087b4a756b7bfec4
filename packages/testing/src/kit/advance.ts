import { milliseconds, requireApp, type App, type Duration } from 'tidemark'

/** What became due earlier. */
export interface Advanced {
  /** Listener partitions whose next attempt came nearer. */
  readonly retries: number
  /** Jobs that were scheduled: retries, snoozes, delays, sleeps and the limits of waits. */
  readonly jobs: number
  /** Schedules whose next tick came nearer. */
  readonly schedules: number
}

/**
 * Lets time pass for what waits in the database: everything that would have been due within `duration` is due now, and
 * everything else is due so much earlier. That is retries of listeners and jobs, delayed and snoozed jobs, `sleep`s,
 * the timeouts of `waitForEvent` and `waitFor` in jobs, and schedules. A schedule fires once, however many of its ticks
 * lie within.
 *
 * No clock is changed: the times are moved. So what lives in a process is not touched (a handler's timeout, `waitFor`
 * outside of jobs), nor are leases and heartbeats, whose owners are alive.
 *
 * @param duration - milliseconds, or a number with its unit, as `'1h'`.
 *
 * @example
 * ```ts
 * import { advance, drainJobs } from '@tidemark/testing'
 *
 * await drainJobs(tidemark)
 * await advance(tidemark, '1h')
 * await drainJobs(tidemark) // what failed an hour ago has been tried again
 * ```
 */
export async function advance(app: App, duration: Duration): Promise<Advanced> {
  requireApp('advance', app)
  const schema = `"${app.schema}"`
  const span = milliseconds(duration)
  const { result } = await app.transaction(async ({ query }) => {
    // A new epoch: who runs it has read the old time, and takes the lease anew.
    const retries = await query(
      `UPDATE ${schema}.cursors
       SET next_attempt_at = next_attempt_at - $1::float8 * interval '1 ms', epoch = epoch + 1, owner = NULL, lease_until = NULL
       WHERE next_attempt_at IS NOT NULL AND halted_at IS NULL`,
      [span],
    )
    // A wait has its limit in its step.
    await query(
      `UPDATE ${schema}.job_steps SET output = jsonb_set(output, '{until}', to_jsonb((output ->> 'until')::numeric - $1::float8::numeric))
       WHERE completed_at IS NULL AND jsonb_typeof(output -> 'until') = 'number'`,
      [span],
    )
    const jobs = await query(
      `UPDATE ${schema}.jobs SET run_at = run_at - $1::float8 * interval '1 ms'
       WHERE status = 'scheduled' AND run_at < 'infinity'`,
      [span],
    )
    // In whole milliseconds, as ticks are.
    const schedules = await query(
      `UPDATE ${schema}.schedules
       SET next_at = date_trunc('milliseconds', greatest(next_at - $1::float8 * interval '1 ms', least(next_at, statement_timestamp())))
       WHERE status = 'active'`,
      [span],
    )
    const count = (answer: { readonly rowCount: number | null }): number => answer.rowCount ?? 0
    return { retries: count(retries), jobs: count(jobs), schedules: count(schedules) }
  })
  return result
}
