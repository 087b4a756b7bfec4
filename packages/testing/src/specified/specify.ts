import {
  silentLogger,
  type Drafts,
  type Entity,
  type HandlerContext,
  type Listener,
  type Transaction,
} from 'tidemark'
import { foldEvents } from '../kit/fold-events.ts'
import type { GivenEvent } from '../kit/given-event.ts'
import { recorded } from '../kit/recorded.ts'
import { rejectUnknownOptions, TestingError } from '../testing-error.ts'
import { InMemoryTransaction, type Answer } from './in-memory.ts'
import { Specification } from './specification.ts'

/** What stands for the database, and what a handler is told of its attempt. */
export interface SpecifyOptions {
  /** The rows that a statement is answered with. Defaults to none, and an error for a statement that asks for some. */
  readonly answer?: Answer
  /** A `db` in the place of Kysely's: what your handlers get, bound to no database. */
  readonly db?: unknown
  /** Which attempt it is at the event. Defaults to 1. */
  readonly attempt?: number
  /** Whether the event was handled before the listener was sent back. Defaults to false. */
  readonly replaying?: boolean
}

/** A listener of which it is said what it does about events. */
export interface SpecifiedListener {
  /** Gives it the events, one after the other. */
  when(...events: readonly GivenEvent[]): Promise<Specification>
}

/** An entity of which it is said what a command on it comes to. */
export interface SpecifiedEntity<State> {
  /** Decides a command on its state, as `tidemark.decide` does. */
  when(
    decide: (state: State, tx: Transaction) => Drafts | undefined | Promise<Drafts | undefined>,
  ): Promise<Specification<State>>
}

/**
 * Begins a test without a database: given these events, when a listener gets another one, or a command is decided on an
 * entity, then look at what is published, spawned and sent. Statements are noted and run nowhere: what they would do is for
 * a test with {@link given}.
 *
 * @param past - what has happened before. An entity's state is made of it; a listener handles it, and what comes of that
 * is not looked at. Defaults to nothing.
 * @throws TestingError TIDEMARK_TESTING_UNSUPPORTED, from `when`, for a handler that returns before its statements have
 * ended, and for a listener that does not handle the event. What the handler or the command throws is kept for
 * `thenFailed`.
 *
 * @example
 * ```ts
 * import { specify } from '@tidemark/testing'
 *
 * const submitted = defineEvent('loans.submitted', { payload: z.object({ cents: z.bigint() }) })
 * const approved = defineEvent('loans.approved', { payload: z.object({ cents: z.bigint() }) })
 * const approval = defineListener('approval').on(submitted, (event, { publish }) => {
 *   if (event.payload.cents < 1000n) publish(approved(event.payload))
 * })
 *
 * const outcome = await specify(approval).when(submitted({ cents: 5n }))
 * outcome.thenPublished(approved({ cents: 5n }))
 * ```
 */
export function specify(
  listener: Listener,
  past?: readonly GivenEvent[],
  options?: SpecifyOptions,
): SpecifiedListener
export function specify<State>(
  entity: Entity<State>,
  past?: readonly GivenEvent[],
  options?: SpecifyOptions,
): SpecifiedEntity<State>
export function specify(
  subject: Listener | Entity<unknown>,
  past: readonly GivenEvent[] = [],
  options: SpecifyOptions = {},
): SpecifiedListener | SpecifiedEntity<unknown> {
  rejectUnknownOptions('specify', options, {
    answer: true,
    db: true,
    attempt: true,
    replaying: true,
  })
  return 'reducers' in subject
    ? specifyEntity(subject, past, options)
    : specifyListener(subject, past, options)
}

function specifyListener(
  listener: Listener,
  past: readonly GivenEvent[],
  options: SpecifyOptions,
): SpecifiedListener {
  return {
    async when(...events) {
      await handle(listener, past, 1, options)
      const { transaction, failure } = await handle(listener, events, past.length + 1, options)
      return new Specification(transaction, undefined, failure)
    },
  }
}

function specifyEntity<State>(
  entity: Entity<State>,
  past: readonly GivenEvent[],
  { answer, db }: SpecifyOptions,
): SpecifiedEntity<State> {
  return {
    async when(decide) {
      const transaction = new InMemoryTransaction(`the command on ${entity.name}`, answer, db)
      const failure = await failureOf(transaction, async () => {
        const { db: bound, query, publish, spawn } = transaction
        const state = foldEvents(entity, past)
        const drafts = await decide(state, { db: bound, query, publish, spawn })
        if (drafts !== undefined) transaction.publish(drafts)
      })
      const published = transaction.published.map(({ draft }) => draft)
      const state = failure === undefined ? foldEvents(entity, [...past, ...published]) : undefined
      return new Specification(transaction, state as State, failure)
    },
  }
}

/** Lets a listener handle events in one transaction, as a batch of them is. */
async function handle(
  listener: Listener,
  events: readonly GivenEvent[],
  first: number,
  { answer, db, attempt = 1, replaying = false }: SpecifyOptions,
) {
  const handlers = new Map(
    [...listener.handlers].map(([definition, handler]) => [definition.type, handler]),
  )
  const transaction = new InMemoryTransaction(`the handler of ${listener.name}`, answer, db)
  const context: HandlerContext = {
    db: transaction.db,
    tx: { query: transaction.query },
    send: transaction.send,
    publish: transaction.publish,
    spawn: transaction.spawn,
    signal: new AbortController().signal,
    replaying,
    attempt,
    logger: silentLogger,
  }
  const versions = new Map<string, number>()
  const failure = await failureOf(transaction, async () => {
    for (const [index, given] of events.entries()) {
      const event = recorded(given, first + index, versions)
      const handler = handlers.get(event.type)
      if (handler === undefined) throw unhandled(listener, event.type)
      await handler(event, context)
    }
  })
  return { transaction, failure }
}

/** What the work throws; what is wrong with the specification itself is thrown. */
async function failureOf(
  transaction: InMemoryTransaction,
  work: () => Promise<void>,
): Promise<{ readonly error: unknown } | undefined> {
  let failure: { readonly error: unknown } | undefined
  try {
    await work()
  } catch (error) {
    if (error instanceof TestingError) throw error
    failure = { error }
  }
  if (failure === undefined) transaction.end()
  return failure
}

function unhandled(listener: Listener, type: string): TestingError {
  return new TestingError(
    'TIDEMARK_TESTING_UNSUPPORTED',
    `${listener.name} does not handle ${type}`,
    `It handles ${listener.events.map((event) => event.type).join(', ') || 'nothing yet'}.`,
  )
}
