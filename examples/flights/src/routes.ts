import { defineProjection } from 'tidemark'
import { flightArrived } from './events.ts'

/** The delays of each route: a table projection, which writes a table that it owns. */
export const routes = defineProjection('routes', {
  version: 1,
  tables: ['route_delays'],
  // Each event is a round trip to the database: on a busy machine a larger batch could outlast the lease.
  batchSize: 100,
}).on(flightArrived, async ({ payload: { origin, destination, delay } }, { db }) => {
  await db
    .insertInto('route_delays')
    .values({ origin, destination, flights: 1, minutes: delay, longest: delay })
    .onConflict((conflict) =>
      conflict.columns(['origin', 'destination']).doUpdateSet((row) => ({
        flights: row('route_delays.flights', '+', row.ref('excluded.flights')),
        minutes: row('route_delays.minutes', '+', row.ref('excluded.minutes')),
        longest: row.fn<number>('greatest', ['route_delays.longest', 'excluded.longest']),
      })),
    )
    .execute()
})
