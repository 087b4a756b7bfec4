import { attribute } from './conventions.ts'
import { count, type Observe } from './meter.ts'

/** What a process does about publishers: they ring, it looks anyway, it polls, or it cannot hear. */
export type DoorbellState = 'armed' | 'awake' | 'polling' | 'deaf'

const states: readonly DoorbellState[] = ['armed', 'awake', 'polling', 'deaf']

/** Counts a notification that reached the process. */
export function countRing(schema: string): void {
  count('tidemark.doorbell.wake_ups', 1, { [attribute.schema]: schema })
}

/** Shows the state that the doorbell is in. */
export function observeDoorbell(observe: Observe, schema: string, present: DoorbellState): void {
  for (const state of states) {
    const given = { [attribute.schema]: schema, [attribute.doorbell]: state }
    observe('tidemark.doorbell.state', state === present ? 1 : 0, given)
  }
}
