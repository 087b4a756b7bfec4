import { requireApp, type App, type EventSequence } from 'tidemark'
import { drain } from './drain.ts'
import { placed, type GivenEvent } from './given-event.ts'
import { Outcome } from './outcome.ts'
import { waitForIdle } from './wait-for-idle.ts'

/** What is done in a test: events that are published, or a command. */
export type Action = GivenEvent | readonly GivenEvent[] | ((app: App) => Promise<unknown>)

/** A test that has its past, and waits for what happens in it. */
export interface Story {
  /**
   * Publishes the given events and lets everything handle them; then does the same with the action.
   *
   * @throws TestingError TIDEMARK_TESTING_NOT_IDLE when a listener halts. What a command throws is kept for
   * {@link Outcome.thenFailed}.
   */
  when(action: Action): Promise<Outcome>
}

/**
 * Begins a test on a real database: given these events, when something happens, then look at the outcome. Listeners and
 * projections run until there is nothing left to do; if the application runs them already, their runner is waited for.
 *
 * @example
 * ```ts
 * import { given } from '@tidemark/testing'
 *
 * const submitted = defineEvent('loans.submitted', { payload: z.object({ loanId: z.string() }) })
 * const approved = defineEvent('loans.approved', { payload: z.object({ loanId: z.string() }) })
 *
 * const outcome = await given(tidemark, []).when(submitted({ loanId: 'l-1' }))
 * outcome.thenPublished(approved({ loanId: 'l-1' }))
 * ```
 */
export function given(app: App, events: readonly GivenEvent[]): Story {
  requireApp('given', app)
  return {
    async when(action) {
      await publish(app, events)
      const before = await settle(app)
      const ownIds = new Set<string>()
      let failure: { readonly error: unknown } | undefined
      try {
        if (typeof action === 'function') await action(app)
        else {
          const actions = Array.isArray(action)
            ? (action as readonly GivenEvent[])
            : [action as GivenEvent]
          for (const id of await publish(app, actions)) ownIds.add(id)
        }
      } catch (error) {
        failure = { error }
      }
      await settle(app)
      const published = []
      for await (const event of app.events({ after: before })) {
        if (!ownIds.has(event.id)) published.push(event)
      }
      return new Outcome(app, published, failure)
    },
  }
}

/** Publishes events one by one, in their order; answers their ids. */
async function publish(app: App, events: readonly GivenEvent[]): Promise<string[]> {
  const ids: string[] = []
  for (const event of events) {
    const { draft, options } = placed(event)
    ids.push((await app.publish(draft, options)).id)
  }
  return ids
}

/** Lets everything be handled, by whoever runs the listeners, or by a runner for the time being. */
async function settle(app: App): Promise<EventSequence> {
  const { result } = await app.transaction((tx) =>
    tx.query(
      `SELECT FROM "${app.schema}".processes WHERE heartbeat_at > clock_timestamp() - interval '10 s' LIMIT 1`,
    ),
  )
  return result.rowCount === 0 ? drain(app) : waitForIdle(app)
}
