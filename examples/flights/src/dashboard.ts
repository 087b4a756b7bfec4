import { defineProjection } from 'tidemark'
import { flightArrived } from './events.ts'

/** The flights that departed in one hour of the day. */
interface Hour {
  readonly flights: number
  /** The sum of their delays. */
  readonly minutes: number
}

/** What the delay dashboard shows. */
export interface Dashboard {
  readonly flights: number
  /** Those that were more than a quarter of an hour late. */
  readonly late: number
  /** The sum of all delays; early arrivals count against it. */
  readonly minutes: number
  readonly longest: number
  /** By the hour of departure, 0 to 23. */
  readonly hours: readonly Hour[]
}

/** Minutes after which a flight counts as late. */
const lateAfter = 15

/** The delay dashboard: a state projection, one value that is stored beside its cursor. */
export const dashboard = defineProjection('dashboard', {
  version: 1,
  initial: (): Dashboard => ({
    flights: 0,
    late: 0,
    minutes: 0,
    longest: 0,
    hours: Array.from({ length: 24 }, () => ({ flights: 0, minutes: 0 })),
  }),
}).on(flightArrived, (state, { payload: { departed, delay } }) => {
  const hour = Number(departed.slice(11, 13))
  const { flights, minutes } = state.hours[hour] as Hour
  return {
    flights: state.flights + 1,
    late: state.late + (delay > lateAfter ? 1 : 0),
    minutes: state.minutes + delay,
    longest: Math.max(state.longest, delay),
    hours: state.hours.with(hour, { flights: flights + 1, minutes: minutes + delay }),
  }
})
