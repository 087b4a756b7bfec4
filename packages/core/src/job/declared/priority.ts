import { requireOneOf, requirePriority } from '../../errors/checked-values.ts'

/** The priorities that have a name. Lower runs first; there is room between them. */
export const priorities: Readonly<Record<PriorityName, number>> = Object.freeze({
  urgent: -100,
  high: -10,
  normal: 0,
  low: 10,
  idle: 100,
})

/** The name of a priority: `urgent` is -100, `high` -10, `normal` 0, `low` 10 and `idle` 100. */
export type PriorityName = 'urgent' | 'high' | 'normal' | 'low' | 'idle'

/**
 * The number of a priority that was given as a number or by name.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function priorityOf(where: string, priority: unknown): number {
  if (typeof priority === 'string') {
    requireOneOf(where, 'priority', priority, Object.keys(priorities) as PriorityName[])
    return priorities[priority]
  }
  requirePriority(where, priority)
  return priority
}
