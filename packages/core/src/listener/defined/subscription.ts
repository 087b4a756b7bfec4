import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { forget, isThenable } from '../../errors/user-code.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import type { Handler } from '../declared/handler-context.ts'
import type { Spawnable, SpawnOptions } from '../declared/spawning.ts'
import type { Listener } from './define-listener.ts'

/** Which events spawn a job, and how. */
export interface SubscriptionOptions<Definition> {
  /** Only events that it accepts. Defaults to all. */
  readonly when?: (event: EventOf<Definition>) => boolean
  /** How the job is spawned: the options themselves, or what makes them of the event. Its id is always the event's own. */
  readonly options?:
    | Omit<SpawnOptions, 'id'>
    | ((event: EventOf<Definition>) => Omit<SpawnOptions, 'id'>)
}

/** One job that an event spawns. */
interface SpawnRule {
  readonly job: Spawnable
  readonly map: (event: RecordedEvent) => unknown
  readonly when: (event: RecordedEvent) => boolean
  readonly options: SpawnOptions | ((event: RecordedEvent) => SpawnOptions)
}

const rulesOf = new WeakMap<Handler, readonly SpawnRule[]>()

/** What a listener does about an event, to be said: made by `.on(event)`. */
export class Subscription<Definition> {
  readonly #listener: string
  readonly #add: (rule: SpawnRule) => Listener

  constructor(listener: string, add: (rule: SpawnRule) => Listener) {
    this.#listener = listener
    this.#add = add
  }

  /**
   * Spawns a job for each event, in the transaction that moves the cursor. Its id is made of the listener, the event
   * and the place of the job among those of the event, so the event spawns it once, however often it is handled: again
   * after a failure, by another partition, or after the listener was sent back. An event may spawn several jobs:
   * subscribe to it several times.
   *
   * @param map - makes the job's input of the event. What the job's schema refuses fails the event.
   * @throws TidemarkError TIDEMARK_INVALID_OPTION.
   *
   * @example
   * ```ts
   * import { defineEvent, defineJob, defineListener } from 'tidemark'
   * import { z } from 'zod'
   *
   * const accountOpened = defineEvent('accounts.opened', { payload: z.object({ email: z.email() }) })
   * const sendWelcome = defineJob('send_welcome', { input: z.object({ to: z.email() }), run: () => {} })
   *
   * export const welcome = defineListener('notifications.welcome')
   *   .on(accountOpened)
   *   .spawn(sendWelcome, (event) => ({ to: event.payload.email }))
   * ```
   */
  spawn<Input>(
    job: Spawnable<Input>,
    map: (event: EventOf<Definition>) => NoInfer<Input>,
    options: SubscriptionOptions<Definition> = {},
  ): Listener {
    const where = `${this.#listener}: .on(…).spawn`
    rejectUnknownOptions(where, options, ['when', 'options'])
    if (typeof job?.name !== 'string' || typeof map !== 'function') {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `${where} needs a job and a function that makes its input of the event`,
        {
          hint: 'For instance `.on(opened).spawn(sendEmail, (event) => ({ to: event.payload.email }))`.',
        },
      )
    }
    const rule = { job, map, when: options.when ?? (() => true), options: options.options ?? {} }
    // Whoever calls it has the events that typed it.
    return this.#add(rule as unknown as SpawnRule)
  }
}

/** A handler that does what `before` did, if that spawns too, and then spawns by one more rule. */
export function spawningHandler(before: Handler | undefined, rule: SpawnRule): Handler {
  const rules = [...((before && rulesOf.get(before)) ?? []), rule]
  const handler: Handler = async (event: RecordedEvent, { spawn }) => {
    for (const { job, map, when, options } of rules) {
      if (!atOnce(job, 'when', when(event))) continue
      const { id: _, ...given } =
        typeof options === 'function' ? atOnce(job, 'options', options(event)) : options
      await spawn(job, atOnce(job, 'input', map(event)), given)
    }
  }
  rulesOf.set(handler, rules)
  return handler
}

/**
 * What a function of a rule answers. A promise is none of it: a `when` that answers one would always be true.
 *
 * @throws TidemarkError TIDEMARK_CALLBACK_FAILED.
 */
function atOnce<T>({ name }: Spawnable, what: string, answer: T): T {
  if (!isThenable(answer)) return answer
  forget(answer)
  throw new TidemarkError(
    'TIDEMARK_CALLBACK_FAILED',
    `.on(…).spawn(${name}): the function of its ${what} answered a promise, and is to answer at once`,
  )
}

/** The jobs that a handler spawns by its rules; undefined when it is a function of the user's. */
export function spawnedBy(handler: Handler): readonly Spawnable[] | undefined {
  return rulesOf.get(handler)?.map(({ job }) => job)
}
