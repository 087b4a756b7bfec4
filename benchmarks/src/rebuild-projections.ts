import {
  defineProjection,
  type KeyedProjection,
  type StateProjection,
  type TableProjection,
} from 'tidemark'
import { realFlight } from './real-flights.ts'

/** What is derived from the flights. */
export type FlightProjection = StateProjection<Totals> | KeyedProjection<Totals> | TableProjection

/** How many flights there were, and how late they were in sum, in minutes. */
export interface Totals {
  readonly flights: number
  readonly delay: number
}

/** The table of the table projection. */
export const routesTable = `
  CREATE TABLE routes (
    origin text, destination text, flights bigint NOT NULL, delay bigint NOT NULL, version integer NOT NULL,
    PRIMARY KEY (origin, destination)
  ) WITH (fillfactor = 50)`

// One statement for a whole batch: the rows of a route are added up before it is written.
const upsertRoutes = `
  INSERT INTO routes AS r (origin, destination, flights, delay, version)
  SELECT u.origin, u.destination, count(*), sum(u.delay), $4::integer
  FROM unnest($1::text[], $2::text[], $3::integer[]) AS u (origin, destination, delay)
  GROUP BY 1, 2 ORDER BY 1, 2
  ON CONFLICT (origin, destination) DO UPDATE
  SET flights = r.flights + excluded.flights, delay = r.delay + excluded.delay, version = excluded.version`

const initial = (): Totals => ({ flights: 0, delay: 0 })
const add = (
  totals: Totals,
  { payload }: { readonly payload: { readonly delay: number } },
): Totals => ({
  flights: totals.flights + 1,
  delay: totals.delay + payload.delay,
})

/** The projections that are rebuilt, by the name of their case. */
export const projections: Readonly<Record<string, (version: number) => FlightProjection>> = {
  state: (version) => defineProjection('bench.state', { version, initial }).on(realFlight, add),
  'keyed, 1,000 keys': (version) =>
    defineProjection('bench.keyed', { version, keyed: true, initial }).on(realFlight, add, {
      key: ({ payload }) => `key-${payload.flight % 1000}`,
    }),
  'keyed by route': (version) =>
    defineProjection('bench.routes_keyed', { version, keyed: true, initial }).on(realFlight, add, {
      key: ({ payload }) => `${payload.origin}-${payload.destination}`,
    }),
  'table, .batch': (version) =>
    defineProjection('bench.table', { version, tables: ['routes'] }).batch(
      [realFlight],
      async (events, { tx }) => {
        await tx.query(upsertRoutes, [
          events.map(({ payload }) => payload.origin),
          events.map(({ payload }) => payload.destination),
          events.map(({ payload }) => payload.delay),
          version,
        ])
      },
    ),
}
