import { requireText, shown } from '../../errors/checked-text.ts'
import { declaredLimit, type DeclaredLimit, type QueueLimit } from '../declared/limit.ts'

/** The most bytes of a queue's name. */
export const longestQueue = 200

const definitions = new WeakSet<object>()

/** A queue with limits, made by {@link defineQueue}. */
export interface QueueDefinition {
  readonly kind: 'queue'
  readonly name: string
  readonly limit: DeclaredLimit
}

/**
 * Defines the limits of a queue, which hold in all processes together. A queue without limits needs no definition.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { defineJob, defineQueue } from 'tidemark'
 * import { z } from 'zod'
 *
 * const mail = defineQueue('mail', { concurrency: 20, rate: { limit: 600, per: '1m' } })
 *
 * export const sendEmail = defineJob('send_email', { queue: mail, input: z.object({ to: z.email() }), run: () => {} })
 * ```
 */
export function defineQueue(name: string, limit: QueueLimit): QueueDefinition {
  requireText('defineQueue', 'name', name, { most: longestQueue })
  const definition: QueueDefinition = Object.freeze({
    kind: 'queue',
    name,
    limit: declaredLimit(`defineQueue(${shown(name)})`, limit),
  })
  definitions.add(definition)
  return definition
}

/** Whether `value` was made by {@link defineQueue}. */
export function isQueueDefinition(value: unknown): value is QueueDefinition {
  return typeof value === 'object' && value !== null && definitions.has(value)
}
