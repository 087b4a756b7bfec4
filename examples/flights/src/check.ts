import { sql } from 'kysely'
import type { App } from 'tidemark'
import { dashboard } from './dashboard.ts'
import { flightArrived, voucherIssued } from './events.ts'
import type { Expected, Sums } from './expected.ts'

/** One thing that was compared with the raw file. */
export interface Finding {
  readonly what: string
  /** How many figures were compared. */
  readonly figures: number
  /** Each difference in words; empty when everything agrees. */
  readonly differences: readonly string[]
}

type Figures = ReadonlyMap<string, number>

/** Compares everything that was stored with what the raw file says, figure by figure. */
export async function checkFigures(app: App, expected: Expected): Promise<Finding[]> {
  return [
    compare('events in the outbox', totals(expected), await readOutbox(app)),
    compare('arrivals', totals(expected), await readArrivals(app)),
    compare('dashboard', expectedDashboard(expected), await readDashboard(app)),
    compare('route_delays', expectedRoutes(expected), await readRoutes(app)),
    compare('vouchers', expectedVouchers(expected), await readVouchers(app)),
    compare('events about vouchers', expectedVouchers(expected), await readVoucherEvents(app)),
  ]
}

function compare(what: string, expected: Figures, actual: Figures): Finding {
  const names = new Set([...expected.keys(), ...actual.keys()])
  const differences = [...names]
    .filter((name) => expected.get(name) !== actual.get(name))
    .map((name) => `${name}: ${say(actual.get(name))} instead of ${say(expected.get(name))}`)
  return { what, figures: names.size, differences }
}

function say(figure: number | undefined): string {
  return figure === undefined ? 'nothing' : String(figure)
}

// Per flight: the number of rows is that of different flights, so none is missing and none is there twice.
function totals({ total }: Expected): Figures {
  return new Map([
    ['rows', total.flights],
    ['different flights', total.flights],
    ['minutes', total.minutes],
  ])
}

async function readOutbox({ db, schema }: App): Promise<Figures> {
  const { rows } = await sql<Totals>`
    SELECT count(*)::integer AS rows, count(DISTINCT payload -> 'flight')::integer AS different,
           sum((payload ->> 'delay')::integer)::integer AS minutes
    FROM ${sql.table(`${schema}.events`)} WHERE type = ${flightArrived.type}`.execute(db)
  return readTotals(rows)
}

async function readArrivals({ db }: App): Promise<Figures> {
  const { rows } = await sql<Totals>`
    SELECT count(*)::integer AS rows, count(DISTINCT flight)::integer AS different,
           sum(delay)::integer AS minutes
    FROM arrivals`.execute(db)
  return readTotals(rows)
}

interface Totals {
  readonly rows: number
  readonly different: number
  readonly minutes: number | null
}

function readTotals([row]: readonly Totals[]): Figures {
  return new Map([
    ['rows', row?.rows ?? 0],
    ['different flights', row?.different ?? 0],
    ['minutes', row?.minutes ?? 0],
  ])
}

function expectedDashboard({ total, late, hours }: Expected): Figures {
  return new Map([
    ['flights', total.flights],
    ['late', late],
    ['minutes', total.minutes],
    ['longest', total.longest],
    ...hours.flatMap(hourFigures),
  ])
}

async function readDashboard(app: App): Promise<Figures> {
  const { flights, late, minutes, longest, hours } = await app.read(dashboard)
  return new Map([
    ['flights', flights],
    ['late', late],
    ['minutes', minutes],
    ['longest', longest],
    ...hours.flatMap(hourFigures),
  ])
}

function hourFigures(
  { flights, minutes }: Pick<Sums, 'flights' | 'minutes'>,
  hour: number,
): [string, number][] {
  return [
    [`flights at ${hour} h`, flights],
    [`minutes at ${hour} h`, minutes],
  ]
}

function expectedRoutes({ routes }: Expected): Figures {
  return new Map([...routes].flatMap(([route, sums]) => routeFigures(route, sums)))
}

async function readRoutes({ db }: App): Promise<Figures> {
  const rows = await db.selectFrom('route_delays').selectAll().execute()
  return new Map(rows.flatMap((row) => routeFigures(`${row.origin}-${row.destination}`, row)))
}

function routeFigures(route: string, { flights, minutes, longest }: Sums): [string, number][] {
  return [
    [`flights ${route}`, flights],
    [`minutes ${route}`, minutes],
    [`longest ${route}`, longest],
  ]
}

function expectedVouchers({ vouchers }: Expected): Figures {
  return new Map([...vouchers].flatMap(([flight, dollars]) => voucherFigures(flight, dollars, 1)))
}

async function readVouchers({ db }: App): Promise<Figures> {
  const rows = await db
    .selectFrom('vouchers')
    .groupBy('flight')
    .select(['flight', sql<number>`max(dollars)`.as('dollars')])
    .select(sql<number>`count(*)::integer`.as('vouchers'))
    .execute()
  return new Map(rows.flatMap((row) => voucherFigures(row.flight, row.dollars, row.vouchers)))
}

// Each says that the arrival of the same flight caused it.
async function readVoucherEvents({ db, schema }: App): Promise<Figures> {
  const events = sql.table(`${schema}.events`)
  const { rows } = await sql<{ flight: number; dollars: number; vouchers: number }>`
    SELECT (issued.payload ->> 'flight')::integer AS flight,
           max((issued.payload ->> 'dollars')::integer) AS dollars,
           count(*) FILTER (WHERE arrived.payload -> 'flight' = issued.payload -> 'flight')::integer AS vouchers
    FROM ${events} AS issued LEFT JOIN ${events} AS arrived ON arrived.id::text = issued.causation_id
    WHERE issued.type = ${voucherIssued.type}
    GROUP BY 1`.execute(db)
  return new Map(rows.flatMap((row) => voucherFigures(row.flight, row.dollars, row.vouchers)))
}

function voucherFigures(flight: number, dollars: number, vouchers: number): [string, number][] {
  return [
    [`vouchers of flight ${flight}`, vouchers],
    [`dollars of flight ${flight}`, dollars],
  ]
}
