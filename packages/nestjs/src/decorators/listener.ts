import type { EventDefinition, EventOf, HandlerContext, ListenerOptions } from 'tidemark'
import { decoratedMethod, mark, type ClassMark, type MethodMark } from './marks.ts'

/** What {@link Listener} has said of a class. */
export interface ListenerMark {
  readonly name: string
  readonly options: ListenerOptions
}

const key = Symbol('tidemark listener')

/**
 * Makes a listener of a provider: its methods with {@link On} handle events, each in the transaction that moves the
 * listener's cursor.
 *
 * @param name - the identity of the listener; its place in the outbox is stored under it.
 * @param options - those of `defineListener`.
 *
 * @example
 * ```ts
 * import { Injectable } from '@nestjs/common'
 * import { Listener, On } from '@tidemark/nestjs'
 * import { defineEvent, type EventOf, type HandlerContext } from 'tidemark'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ email: z.string() }) })
 *
 * @Injectable()
 * @Listener('welcome')
 * export class Welcome {
 *   @On(opened)
 *   async greet(event: EventOf<typeof opened>, { tx }: HandlerContext) {
 *     await tx.query('insert into letters (address) values ($1)', [event.payload.email])
 *   }
 * }
 * ```
 */
export function Listener(name: string, options: ListenerOptions = {}): ClassMark<object> {
  return (target) => Reflect.defineMetadata(key, { name, options }, target)
}

/** Handles an event, or each of several, in a class with {@link Listener}. */
export function On<Definition extends EventDefinition<string, unknown>>(
  events: Definition | readonly Definition[],
): MethodMark<(event: EventOf<Definition>, context: HandlerContext) => unknown> {
  return (...given: readonly unknown[]) => {
    const all = (Array.isArray(events) ? events : [events]) as readonly EventDefinition[]
    mark(decoratedMethod('@On', given), { kind: 'on', events: all })
  }
}

/** What {@link Listener} has said of a class; undefined: nothing. */
export function listenerOf(target: object): ListenerMark | undefined {
  return Reflect.getOwnMetadata(key, target) as ListenerMark | undefined
}
