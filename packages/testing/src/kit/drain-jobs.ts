import { setTimeout as delay } from 'node:timers/promises'
import { requireApp, type App } from 'tidemark'
import { TestingError } from '../testing-error.ts'
import { realNow, requireRealTimers } from './real-time.ts'
import { waitForIdle, type IdleOptions } from './wait-for-idle.ts'

const pollInterval = 10

/**
 * Runs jobs, listeners and projections of an application until nothing is left to do now, and then stops them. What is
 * scheduled for later or paused, or waits for something that has not happened, is left as it is: {@link advance} makes
 * it due.
 *
 * @throws TestingError TIDEMARK_TESTING_NOT_IDLE, as {@link waitForIdle}.
 *
 * @example
 * ```ts
 * import { drainJobs } from '@tidemark/testing'
 *
 * const greet = defineJob('greet', { input: z.string(), run: (job) => `Hello ${job.input}` })
 *
 * const job = await tidemark.jobs.spawn(greet, 'Cleo')
 * await drainJobs(tidemark)
 * console.log(await job.result())
 * ```
 */
export async function drainJobs(app: App, options: IdleOptions = {}): Promise<void> {
  requireApp('drainJobs', app)
  const { timeout = 30_000 } = options
  requireRealTimers('drainJobs')
  await using _ = await app.start({ handleSignals: false, acquireInterval: 20 })
  await waitForRest(app, realNow() + timeout)
}

/** Waits until processes that run have nothing left to do now. @param deadline - as `realNow()` says it. */
export async function waitForRest(app: App, deadline: number): Promise<void> {
  const started = realNow()
  for (;;) {
    await waitForIdle(app, { timeout: Math.max(1, deadline - realNow()) })
    const left = await unfinished(app)
    if (left.length === 0) {
      // A job may have published between the two looks.
      await waitForIdle(app, { timeout: Math.max(1, deadline - realNow()) })
      if ((await unfinished(app)).length === 0) return
    }
    if (realNow() > deadline) {
      throw new TestingError(
        'TIDEMARK_TESTING_NOT_IDLE',
        [
          `there are jobs left after ${Math.round(realNow() - started)} ms`,
          ...left.map((one) => `  - ${one}`),
        ].join('\n'),
        'A job that never ends needs a shorter timeout; one whose type nobody runs, its module.',
      )
    }
    await delay(pollInterval)
  }
}

/** Jobs that can run now, or whose wait is over and who have not been woken yet. */
async function unfinished(app: App): Promise<string[]> {
  const schema = `"${app.schema}"`
  const { result } = await app.transaction(({ query }) =>
    query(
      `
      SELECT format('%s %s: %s%s', j.name, j.id, j.status, CASE WHEN j.parked = 'type' THEN ', nobody runs its type' END) AS job
      FROM ${schema}.jobs j
      WHERE j.status = 'running' OR (j.status = 'queued' AND NOT ${schema}.is_paused(j.queue, j.name))
        OR (j.status = 'scheduled' AND (j.run_at <= clock_timestamp() OR EXISTS (
          SELECT FROM ${schema}.job_waits w WHERE w.job = j.id AND CASE w.kind
            WHEN 'job' THEN NOT EXISTS (
              SELECT FROM ${schema}.jobs c WHERE c.id = w.child AND c.status NOT IN ('completed', 'failed', 'cancelled'))
            WHEN 'cursor' THEN NOT EXISTS (
              SELECT FROM ${schema}.listeners l JOIN ${schema}.cursors c ON c.listener = l.name AND c.generation = l.generation
              WHERE l.name = w.target AND c.cursor < w.sequence)
            WHEN 'signal' THEN EXISTS (
              SELECT FROM ${schema}.job_signals s WHERE s.job = j.id AND s.name = w.target AND s.step IS NULL)
            ELSE EXISTS (
              SELECT FROM ${schema}.events e WHERE e.sequence > w.sequence AND e.type = w.target
                AND (w.key IS NULL OR coalesce(e.key, e.stream) = w.key)) END)))
      UNION ALL
      SELECT format('schedule %s: its tick has come', s.name) FROM ${schema}.schedules s
      WHERE s.name = ANY ($1::text[]) AND s.next_at <= clock_timestamp()
      LIMIT 20`,
      [scheduleNames(app)],
    ),
  )
  return result.rows.map((row) => row['job'] as string)
}

/** The schedules of the application: others are left to whoever runs them. */
function scheduleNames(app: App): string[] {
  const values = app.options.modules.flatMap((module): unknown[] => [
    module,
    ...Object.values(module),
  ])
  return values.flatMap((value) => {
    const { kind, name } = (value ?? {}) as { readonly kind?: unknown; readonly name?: unknown }
    return kind === 'schedule' && typeof name === 'string' ? [name] : []
  })
}
