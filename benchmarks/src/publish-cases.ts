import { randomUUID } from 'node:crypto'
import type { TestDatabase } from '@tidemark/testing'
import type pg from 'pg'
import { defineApp, type App } from 'tidemark'
import { createPlainTables, insertSql, pipeliningClients, rateOf } from './database.ts'
import { openEmmett, type Emmett } from './emmett.ts'
import { flight, flightArrived } from './events.ts'
import { openInline, type Inline } from './inline-cases.ts'
import { LeanClient, LeanStatement, leanRate } from './lean-client.ts'
import type { Case } from './measure.ts'

/** How many events a bulk publish holds. */
export const bulkSize = 1000

/** How many callers publish in bulk. */
export const bulkCallers = 2

/** The names of the cases, by which they are compared. */
export const names = {
  bare: 'server: bare INSERT',
  outbox: 'server: SQL INSERT into the outbox',
  notify: 'server: bare INSERT, NOTIFY in each commit',
  lock: 'server: bare INSERT, exclusive lock in each commit',
  driver: 'driver: bare INSERT, one a transaction',
  transaction: 'transaction(), one event each',
  coalesced: 'publish(), coalesced',
  streams: 'publish() to 1,000 streams, coalesced',
  inline: 'publish() with an inline projection, awaited upserts',
  inlineSend: 'publish() with an inline projection, `send`',
  inlineBatch: 'publish() with an inline projection, `.batch`',
  emmett: 'emmett: appendToStream, one event a call',
  driverBulk: `driver: bare INSERT of ${bulkSize}`,
  bulk: `publish(), arrays of ${bulkSize}`,
  emmettBulk: `emmett: appendToStream, arrays of ${bulkSize}`,
} as const

// The columns that the library sends, into the plain table: the limit of publishing through the driver.
const columns = `id, type, version, key, payload, payload_meta, correlation_id, causation_id, traceparent, tracestate, metadata`
const insertOne = {
  name: 'bench_insert_one',
  text: `INSERT INTO plain (${columns}) VALUES ($1::uuid, $2::text, $3::integer, $4::text, $5::jsonb,
    $6::jsonb, $7::text, $8::text, $9::text, $10::text, $11::jsonb) RETURNING sequence`,
}
const insertMany = {
  name: 'bench_insert_many',
  text: `INSERT INTO plain (${columns}) SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::text[],
    $5::jsonb[], $6::jsonb[], $7::text[], $8::text[], $9::text[], $10::text[], $11::jsonb[]) RETURNING sequence`,
}

const values = ['bench.flight_arrived', JSON.stringify(flight(1))]
const statements = {
  bare: new LeanStatement('bare', insertSql('plain'), values),
  outbox: new LeanStatement('outbox', insertSql('tidemark.events'), values),
  notify: new LeanStatement('notify', insertSql('notifying'), values),
  lock: new LeanStatement('lock', insertSql('locking'), values),
}

/** Everything that publishes into one database, with connections for so many publishers each. */
export interface Publishers extends AsyncDisposable {
  /** The cases of one event a transaction. */
  singleCases(publishers: number, seconds: number): readonly Case[]
  /** The cases of many events a transaction. */
  bulkCases(seconds: number): readonly Case[]
}

/** Opens the connections of all cases. */
export async function openPublishers(database: TestDatabase, most: number): Promise<Publishers> {
  await createPlainTables(database)
  await using disposables = new AsyncDisposableStack()
  const { url } = database
  const opened = Array.from({ length: most }, () =>
    LeanClient.connect(url, Object.values(statements)),
  )
  const lean = (await Promise.all(opened)).map((client) => disposables.use(client))
  const driver = await pipeliningClients(url, most)
  disposables.defer(async () => {
    await Promise.all(driver.map((client) => client.end()))
  })
  const app = disposables.use(
    defineApp({
      modules: [flightArrived],
      connectionString: url,
      // The library keeps at least so many.
      maxConnections: Math.max(4, most),
    }),
  )
  const inline = disposables.use(await openInline(database, most))
  const emmett = disposables.use(await openEmmett(url, most))
  const kept = disposables.move()
  return {
    singleCases: (publishers, seconds) => [
      ...serverCases(lean.slice(0, publishers), seconds),
      ...clientCases({ app, driver, inline, emmett }, publishers, seconds),
    ],
    bulkCases: (seconds) => bulkCases({ app, driver, inline, emmett }, seconds),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

interface Clients {
  readonly app: App
  readonly driver: readonly pg.Client[]
  readonly inline: Inline
  readonly emmett: Emmett
}

function serverCases(lean: readonly LeanClient[], seconds: number): readonly Case[] {
  const rate = (statement: LeanStatement) => () => leanRate(lean, statement, seconds)
  return [
    { name: names.bare, measure: rate(statements.bare) },
    { name: names.outbox, against: names.bare, measure: rate(statements.outbox) },
    { name: names.notify, against: names.outbox, measure: rate(statements.notify) },
    { name: names.lock, against: names.outbox, measure: rate(statements.lock) },
  ]
}

let n = 0
const draft = () => flightArrived(flight(n++))

function clientCases(
  { app, driver, inline, emmett }: Clients,
  publishers: number,
  seconds: number,
): readonly Case[] {
  const rate = (work: (worker: number) => Promise<unknown>) => () =>
    rateOf(seconds, publishers, work)
  return [
    {
      name: names.driver,
      measure: rate((worker) => insertPlain(driver[worker] as pg.Client, flight(n++))),
    },
    {
      name: names.transaction,
      against: names.driver,
      measure: rate(() => app.transaction(async (tx) => tx.publish(draft()))),
    },
    { name: names.coalesced, against: names.driver, measure: rate(() => app.publish(draft())) },
    {
      name: names.streams,
      against: names.driver,
      measure: rate(() => app.publish(draft(), { stream: `route-${n % 1000}` })),
    },
    {
      name: names.inline,
      against: names.coalesced,
      measure: rate(() => inline.awaited.publish(draft())),
    },
    {
      name: names.inlineSend,
      against: names.coalesced,
      measure: rate(() => inline.sent.publish(draft())),
    },
    {
      name: names.inlineBatch,
      against: names.coalesced,
      measure: rate(() => inline.batched.publish(draft())),
    },
    {
      name: names.emmett,
      against: names.driver,
      measure: rate((worker) => emmett.append(worker, [flight(n++)])),
    },
  ]
}

function bulkCases({ app, driver, emmett }: Clients, seconds: number): readonly Case[] {
  const rate = (work: (worker: number) => Promise<unknown>) => async () =>
    bulkSize * (await rateOf(seconds, bulkCallers, work))
  const flights = () => Array.from({ length: bulkSize }, () => flight(n++))
  return [
    {
      name: names.driverBulk,
      measure: rate((worker) => insertManyPlain(driver[worker] as pg.Client, flights())),
    },
    {
      name: names.bulk,
      against: names.driverBulk,
      measure: rate(() => app.publish(Array.from({ length: bulkSize }, draft))),
    },
    {
      name: names.emmettBulk,
      against: names.driverBulk,
      measure: rate((worker) => emmett.append(worker, flights())),
    },
  ]
}

// One round trip, as the library's own.
async function insertPlain(client: pg.Client, payload: unknown): Promise<void> {
  const began = client.query('BEGIN')
  const inserted = client.query({ ...insertOne, values: row(payload) })
  await client.query('COMMIT')
  await Promise.all([began, inserted])
}

async function insertManyPlain(client: pg.Client, payloads: readonly unknown[]): Promise<void> {
  const rows = payloads.map(row)
  const cells = (rows[0] as unknown[]).map((_, column) => rows.map((one) => one[column]))
  await client.query({ ...insertMany, values: cells })
}

function row(payload: unknown): unknown[] {
  const json = JSON.stringify(payload)
  return [randomUUID(), flightArrived.type, 1, null, json, null, null, null, null, null, null]
}
