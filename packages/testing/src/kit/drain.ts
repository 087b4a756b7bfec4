import { requireApp, type App, type EventSequence } from 'tidemark'
import { requireRealTimers } from './real-time.ts'
import { waitForIdle, type IdleOptions } from './wait-for-idle.ts'

/**
 * Runs the listeners and projections of an application until everything that was published has been handled, and then
 * stops them: between two calls nothing happens behind a test's back.
 *
 * @returns the last sequence.
 * @throws TestingError TIDEMARK_TESTING_NOT_IDLE, as {@link waitForIdle}.
 *
 * @example
 * ```ts
 * import { drain } from '@tidemark/testing'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 *
 * await tidemark.publish(opened({ id: 'a-1' }))
 * await drain(tidemark)
 * ```
 */
export async function drain(app: App, options: IdleOptions = {}): Promise<EventSequence> {
  requireApp('drain', app)
  requireRealTimers('drain')
  // Nobody sleeps here, so nobody need be woken.
  await using _ = await app.start({
    handleSignals: false,
    acquireInterval: 20,
    doorbell: { enabled: false },
  })
  return await waitForIdle(app, options)
}
