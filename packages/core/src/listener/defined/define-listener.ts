import { shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireName, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { isEventDefinition, storedTypesOf, type EventDefinition } from '../../event/define-event.ts'
import { milliseconds, type Duration } from '../declared/backoff.ts'
import {
  failureHandling,
  type FailureHandling,
  type FailureOptions,
} from '../declared/failure-policy.ts'
import type { Handler } from '../declared/handler-context.ts'
import type { Spawnable } from '../declared/spawning.ts'
import { applyEach, TransactionalHandling } from '../handled/transactional-handling.ts'
import type { Lease } from '../leased/lease.ts'
import type { Consumer, Environment, Handling } from '../read/consumer.ts'
import { spawnedBy, spawningHandler, Subscription } from './subscription.ts'

/** How a listener runs. */
export interface ListenerOptions extends FailureOptions {
  /**
   * Where a new listener starts: with the first event of the outbox, or with the first that is published after
   * it is first started. Defaults to `'beginning'`, with a warning where there are events already, because their side
   * effects come late.
   */
  readonly startFrom?: 'beginning' | 'now'
  /**
   * Names that it had before. It goes on where it was under them, and nothing is handled again; a process that still has
   * an old name leaves it to newer ones. Defaults to none.
   */
  readonly aliases?: readonly string[]
  /** The most events in one transaction, in which no further handler begins after a second. Defaults to 500. */
  readonly batchSize?: number
  /**
   * Among how many partitions its events are divided, by key. Events with the same key are handled in order;
   * partitions run side by side, also in different processes. It can be changed at any time. Defaults to 1.
   */
  readonly partitions?: number
  /** How long one handler may run before its connection is destroyed. Defaults to 30 s. */
  readonly handlerTimeout?: Duration
}

// The events that `.on` accepts. `never` as input: whatever it takes, a handler only reads.
type AnyEvent = EventDefinition<string, unknown>

/** A named consumer with a cursor and handlers. Immutable: `.on` answers a new one. */
export class Listener implements Consumer {
  readonly kind = 'listener'
  readonly mode = 'async'
  readonly version = 1
  readonly tables: readonly string[] = []
  readonly name: string
  readonly aliases: readonly string[]
  readonly startFrom: 'beginning' | 'now'
  readonly startIsStated: boolean
  readonly batchSize: number
  readonly partitions: number
  readonly failure: FailureHandling
  readonly handlerTimeout: number
  /** What it does about each event: for tests that call it themselves. */
  readonly handlers: ReadonlyMap<EventDefinition, Handler>
  readonly #options: ListenerOptions

  constructor(
    name: string,
    options: ListenerOptions,
    handlers: ReadonlyMap<EventDefinition, Handler>,
  ) {
    this.name = name
    this.handlers = handlers
    this.#options = options
    this.aliases = Object.freeze([...(options.aliases ?? [])])
    this.startFrom = options.startFrom ?? 'beginning'
    this.startIsStated = options.startFrom !== undefined
    this.batchSize = options.batchSize ?? 500
    this.partitions = options.partitions ?? 1
    this.failure = failureHandling(name, options)
    this.handlerTimeout = milliseconds(options.handlerTimeout ?? '30s')
  }

  /**
   * Adds a handler for an event, or for each of several; without a handler, say what the event is to do:
   * `.on(opened).spawn(sendEmail, (event) => …)`.
   *
   * @throws TidemarkError TIDEMARK_INVALID_OPTION when the listener handles the event already.
   */
  on<Definition extends AnyEvent>(
    definition: Definition | readonly Definition[],
    handler: Handler<Definition>,
  ): Listener
  on<Definition extends AnyEvent>(
    definition: Definition | readonly Definition[],
  ): Subscription<Definition>
  on<Definition extends AnyEvent>(
    definition: Definition | readonly Definition[],
    handler?: Handler<Definition>,
  ): Listener | Subscription<Definition> {
    if (handler === undefined) {
      return new Subscription(this.name, (rule) => {
        let handlers = this.handlers
        for (const event of Array.isArray(definition)
          ? (definition as Definition[])
          : [definition]) {
          const before = [...handlers].find(([{ type }]) => type === (event as Definition)?.type)
          const spawning = spawningHandler(before?.[1], rule)
          if (before === undefined || spawnedBy(before[1]) === undefined) {
            handlers = withHandler(this.name, handlers, event, spawning)
          } else handlers = new Map([...handlers, [before[0], spawning]])
        }
        return new Listener(this.name, this.#options, handlers)
      })
    }
    return new Listener(
      this.name,
      this.#options,
      withHandler(this.name, this.handlers, definition, handler as unknown as Handler),
    )
  }

  /** The jobs that its subscriptions spawn. */
  get spawns(): readonly Spawnable[] {
    return [...this.handlers.values()].flatMap((handler) => spawnedBy(handler) ?? [])
  }

  get events(): readonly EventDefinition[] {
    return [...this.handlers.keys()]
  }

  get types(): ReadonlySet<string> {
    return storedTypesOf(this.events)
  }

  begin(lease: Lease, environment: Environment): Handling {
    return new TransactionalHandling(this, applyEach(byType(this.handlers)), lease, environment)
  }
}

/**
 * Defines a listener. What its handlers write through `db` or `tx` commits together with its cursor: each event
 * takes effect once, whatever crashes.
 *
 * @param name - the identity of its cursor; choose it for good.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineEvent, defineListener } from 'tidemark'
 * import { z } from 'zod'
 *
 * const accountOpened = defineEvent('accounts.opened', { payload: z.object({ email: z.email() }) })
 *
 * export const welcome = defineListener('notifications.welcome').on(accountOpened, async (event, { db }) => {
 *   await db.insertInto('letters').values({ to: event.payload.email }).execute()
 * })
 * ```
 */
export function defineListener(name: string, options: ListenerOptions = {}): Listener {
  const where = `defineListener(${shown(name)})`
  requireName('defineListener', name)
  rejectUnknownOptions(where, options, ['startFrom', ...runOptions])
  checkRunOptions(where, options)
  requireAliases(where, name, options.aliases)
  return new Listener(name, options, new Map())
}

/** The options that listeners and projections share. */
export const runOptions: readonly string[] = [
  'aliases',
  'batchSize',
  'partitions',
  'retry',
  'onFailure',
  'handlerTimeout',
]

/** Checks the options that listeners and projections share. */
export function checkRunOptions(where: string, options: ListenerOptions): void {
  if (options.batchSize !== undefined) requireWhole(where, 'batchSize', options.batchSize, 1)
  if (options.partitions !== undefined) requireWhole(where, 'partitions', options.partitions, 1)
}

/** Checks the names that a listener or a projection had before. */
export function requireAliases(where: string, name: string, aliases: unknown = []): void {
  if (!Array.isArray(aliases)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "aliases" must be a list`)
  }
  for (const alias of aliases as string[]) {
    requireName(`${where}: aliases`, alias)
    if (alias !== name && aliases.filter((other) => other === alias).length === 1) continue
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where} has the alias "${alias}" ${alias === name ? 'which is its own name' : 'twice'}`,
      { hint: 'List only names that it had before, each once.' },
    )
  }
}

/** The handlers with one more; each event has one handler at most. */
export function withHandler<H>(
  name: string,
  handlers: ReadonlyMap<EventDefinition, H>,
  definition: unknown,
  handler: H,
): ReadonlyMap<EventDefinition, H> {
  const extended = new Map(handlers)
  for (const event of Array.isArray(definition) ? (definition as unknown[]) : [definition]) {
    if (!isEventDefinition(event)) {
      throw new TidemarkError(
        'TIDEMARK_INVALID_OPTION',
        `${name}: .on() needs an event made by defineEvent()`,
      )
    }
    if ([...extended.keys()].some((known) => known.type === event.type)) {
      throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${name} handles ${event.type} already`, {
        hint: 'Do both in one handler, or define another listener: each has a cursor of its own.',
      })
    }
    extended.set(event, handler)
  }
  return extended
}

/** Handlers by the type of their event. */
export function byType<H>(handlers: ReadonlyMap<EventDefinition, H>): ReadonlyMap<string, H> {
  return new Map([...handlers].map(([definition, handler]) => [definition.type, handler]))
}
