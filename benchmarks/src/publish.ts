import { randomUUID } from 'node:crypto'
import { createTestDatabase } from '@tidemark/testing'
import type pg from 'pg'
import { defineApp } from 'tidemark'
import { createPlainTables, insertSql, pipeliningClients, rateOf } from './database.ts'
import { flight, flightArrived } from './events.ts'
import { LeanClient, leanRate } from './lean-client.ts'
import { interleave, selectCases, type Case } from './measure.ts'
import { ratesTable, type Report } from './report.ts'
import type { Bench } from './server.ts'

const bulkSize = 1000

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

/**
 * What publishing costs beside an INSERT into a plain table of the same columns, once for the server alone and once
 * through the library and the driver that it uses.
 */
export async function publish(bench: Bench): Promise<Report> {
  const { options, server, progress } = bench
  const { clients, seconds, runs } = options
  await using database = await createTestDatabase({ server })
  await createPlainTables(database)
  await using disposables = new AsyncDisposableStack()
  const { url } = database

  const lean = async (table: string): Promise<readonly LeanClient[]> => {
    const values = ['bench.flight_arrived', JSON.stringify(flight(1))]
    const opened = Array.from({ length: clients }, () =>
      LeanClient.connect(url, insertSql(table), values),
    )
    return (await Promise.all(opened)).map((client) => disposables.use(client))
  }
  const bare = await lean('plain')
  const outbox = await lean('tidemark.events')
  const notifying = await lean('notifying')
  const driver = await pipeliningClients(url, clients)
  disposables.defer(async () => {
    await Promise.all(driver.map((client) => client.end()))
  })
  const app = disposables.use(
    defineApp({ modules: [flightArrived], connectionString: url, maxConnections: clients }),
  )

  let n = 0
  const draft = () => flightArrived(flight(n++))
  const bulk = () => Array.from({ length: bulkSize }, draft)
  const driverOf = (worker: number): pg.Client => driver[worker] as pg.Client

  const cases: readonly Case[] = [
    { name: 'server: bare INSERT', measure: () => leanRate(bare, seconds) },
    {
      name: 'server: SQL INSERT into the outbox',
      against: 'server: bare INSERT',
      measure: () => leanRate(outbox, seconds),
    },
    {
      name: 'server: bare INSERT and NOTIFY',
      against: 'server: SQL INSERT into the outbox',
      measure: () => leanRate(notifying, seconds),
    },
    {
      name: 'driver: bare INSERT, one a transaction',
      measure: () =>
        rateOf(seconds, clients, (worker) => insertPlain(driverOf(worker), flight(n++))),
    },
    {
      name: 'transaction(), one event each',
      against: 'driver: bare INSERT, one a transaction',
      measure: () =>
        rateOf(seconds, clients, () => app.transaction(async (tx) => tx.publish(draft()))),
    },
    {
      name: 'publish(), coalesced',
      against: 'driver: bare INSERT, one a transaction',
      measure: () => rateOf(seconds, clients, () => app.publish(draft())),
    },
    {
      name: 'publish() to 1,000 streams, coalesced',
      against: 'driver: bare INSERT, one a transaction',
      measure: () =>
        rateOf(seconds, clients, () => app.publish(draft(), { stream: `route-${n % 1000}` })),
    },
    {
      name: `driver: bare INSERT of ${bulkSize}`,
      measure: async () =>
        bulkSize *
        (await rateOf(seconds, 2, (worker) => insertManyPlain(driverOf(worker), bulkSize))),
    },
    {
      name: `publish(), arrays of ${bulkSize}`,
      against: `driver: bare INSERT of ${bulkSize}`,
      measure: async () => bulkSize * (await rateOf(seconds, 2, () => app.publish(bulk()))),
    },
  ]
  const results = await interleave(selectCases(cases, options.only), runs, progress)
  const title = `publish: events a second, ${clients} clients, nobody listening`
  return { name: 'publish', tables: [ratesTable(title, results)], results }
}

// One round trip, as the library's own.
async function insertPlain(client: pg.Client, payload: unknown): Promise<void> {
  const began = client.query('BEGIN')
  const inserted = client.query({
    ...insertOne,
    values: row(payload),
  })
  await client.query('COMMIT')
  await Promise.all([began, inserted])
}

async function insertManyPlain(client: pg.Client, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, index) => row(flight(index)))
  const values = (rows[0] as unknown[]).map((__, column) => rows.map((cells) => cells[column]))
  await client.query({ ...insertMany, values })
}

function row(payload: unknown): unknown[] {
  const json = JSON.stringify(payload)
  return [randomUUID(), flightArrived.type, 1, null, json, null, null, null, null, null, null]
}
