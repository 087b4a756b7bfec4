import { sql } from 'kysely'
import { defineProjection } from 'tidemark'
import { flightArrived } from './events.ts'

/**
 * The delays of each route: a table projection, which writes a table that it owns. It takes its events a batch at a
 * time, so that each batch is one statement and not one per flight.
 */
export const routes = defineProjection('routes', { version: 1, tables: ['route_delays'] }).batch(
  flightArrived,
  async (events, { db }) => {
    const flights = events.map(({ payload }) => payload)
    const origins = flights.map(({ origin }) => origin)
    const destinations = flights.map(({ destination }) => destination)
    const delays = flights.map(({ delay }) => delay)
    await sql`
      INSERT INTO route_delays AS route (origin, destination, flights, minutes, longest)
      SELECT origin, destination, count(*), sum(delay), max(delay)
      FROM unnest(${origins}::text[], ${destinations}::text[], ${delays}::integer[])
        AS arrived (origin, destination, delay)
      GROUP BY origin, destination
      ON CONFLICT (origin, destination) DO UPDATE SET
        flights = route.flights + excluded.flights,
        minutes = route.minutes + excluded.minutes,
        longest = greatest(route.longest, excluded.longest)`.execute(db)
  },
)
