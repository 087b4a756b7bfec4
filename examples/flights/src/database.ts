import { sql, type Generated } from 'kysely'
import type { App } from 'tidemark'

/** The tables of the example, as Kysely sees them. */
interface Tables {
  /** What the publishers write in the transactions that publish. */
  arrivals: { flight: number; origin: string; destination: string; delay: number }
  /** Owned by the projection of the same name. */
  route_delays: {
    origin: string
    destination: string
    flights: number
    minutes: number
    longest: number
  }
  vouchers: { id: Generated<number>; flight: number; dollars: number }
}

// Once per project: from here on `db` knows the tables, in every handler and transaction.
declare module 'tidemark' {
  interface Register {
    database: Tables
  }
}

/** Creates the tables of the example. */
export async function createTables({ db }: App): Promise<void> {
  await sql`
    CREATE TABLE arrivals (
      flight      integer PRIMARY KEY,
      origin      text NOT NULL,
      destination text NOT NULL,
      delay       integer NOT NULL
    )`.execute(db)
  await sql`
    CREATE TABLE route_delays (
      origin      text,
      destination text,
      flights     integer NOT NULL,
      minutes     integer NOT NULL,
      longest     integer NOT NULL,
      PRIMARY KEY (origin, destination)
    ) WITH (fillfactor = 50)`.execute(db)
  // Nothing here keeps a flight from having two vouchers: that it never does is what the example shows.
  await sql`
    CREATE TABLE vouchers (
      id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      flight  integer NOT NULL,
      dollars integer NOT NULL
    )`.execute(db)
}
