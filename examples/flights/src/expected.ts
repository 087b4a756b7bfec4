import type { Flight } from './read-flights.ts'

/** Sums over some flights. */
export interface Sums {
  flights: number
  minutes: number
  longest: number
}

/** What the raw file says the figures must be. */
export interface Expected {
  readonly total: Sums
  late: number
  readonly hours: Sums[]
  /** By `ORIGIN-DESTINATION`. */
  readonly routes: Map<string, Sums>
  /** The dollars of each flight's voucher. */
  readonly vouchers: Map<number, number>
}

/** Computes the figures from the records alone: no event, no database, none of the handlers' code. */
export async function computeExpected(flights: AsyncIterable<Flight>): Promise<Expected> {
  const expected: Expected = {
    total: emptySums(),
    late: 0,
    hours: Array.from({ length: 24 }, emptySums),
    routes: new Map(),
    vouchers: new Map(),
  }
  for await (const { flight, departed, origin, destination, delay } of flights) {
    const route = `${origin}-${destination}`
    const routeSums = expected.routes.get(route) ?? emptySums()
    expected.routes.set(route, routeSums)
    const hourSums = expected.hours[new Date(`${departed}Z`).getUTCHours()] as Sums
    for (const sums of [expected.total, routeSums, hourSums]) {
      sums.longest = sums.flights === 0 ? delay : Math.max(sums.longest, delay)
      sums.flights += 1
      sums.minutes += delay
    }
    if (delay > 15) expected.late += 1
    if (delay > 3 * 60) expected.vouchers.set(flight, Math.ceil(delay / 60) * 50)
  }
  return expected
}

function emptySums(): Sums {
  return { flights: 0, minutes: 0, longest: 0 }
}
