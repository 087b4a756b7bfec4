import { setTimeout as pause } from 'node:timers/promises'
import { sequenceZero, type App, type EventSequence, type Transaction } from 'tidemark'
import { flightArrived } from './events.ts'
import type { Flight } from './read-flights.ts'

/** How to publish. */
export interface PublishingOptions {
  /** How many transactions are under way at once. */
  readonly publishers: number
  /** Flights in a transaction. */
  readonly batchSize: number
  /** The pace; as fast as it goes when undefined. */
  readonly flightsPerSecond: number | undefined
  readonly signal: AbortSignal
  /** Called after each commit. */
  readonly onCommit: (flights: number) => void
  /** Called after each transaction that was rolled back. */
  readonly onRollback: () => void
}

interface Batch {
  readonly number: number
  readonly flights: readonly Flight[]
}

/** The trouble that some transactions run into on purpose. */
class Turbulence extends Error {}

// The outbox's order must hold for transactions like these, so there are many of them.
const rollsBackEvery = 8
const commitsLateEvery = 5

/**
 * Publishes `flight.arrived` for each flight, from several publishers at once, each of which writes its arrivals in
 * the same transaction. Answers the last sequence that was published.
 */
export async function publishFlights(
  app: App,
  flights: AsyncIterable<Flight>,
  options: PublishingOptions,
): Promise<EventSequence> {
  // All publishers take from one generator, so each flight goes to one of them.
  const batches = batchesOf(flights, options)
  const ends = await Promise.all(
    Array.from({ length: options.publishers }, () => runPublisher(app, batches, options)),
  )
  return ends.reduce((last, end) => (end > last ? end : last), sequenceZero)
}

async function runPublisher(
  app: App,
  batches: AsyncIterable<Batch>,
  { onCommit, onRollback }: PublishingOptions,
): Promise<EventSequence> {
  let last = sequenceZero
  for await (const batch of batches) {
    if (batch.number % rollsBackEvery === 0) {
      await rollBack(app, batch)
      onRollback()
    }
    const sequence =
      batch.number % commitsLateEvery === 0
        ? await commitLate(app, batch)
        : await commit(app, batch)
    if (sequence > last) last = sequence
    onCommit(batch.flights.length)
  }
  return last
}

/** The usual way: business rows and events in one transaction, the events inserted just before COMMIT. */
async function commit(app: App, { flights }: Batch): Promise<EventSequence> {
  const { sequence } = await app.transaction(async (tx) => {
    await insertArrivals(tx, flights)
    tx.publish(flights.map(flightArrived))
  })
  return sequence ?? sequenceZero
}

/** Draws its sequences first and commits a while later: others with higher sequences overtake it. */
async function commitLate(app: App, { flights, number }: Batch): Promise<EventSequence> {
  const { result } = await app.transaction(async (tx) => {
    const published = await app.publish(flights.map(flightArrived), { tx })
    await insertArrivals(tx, flights)
    await pause(number % 20)
    return published.at(-1)?.sequence
  })
  return result ?? sequenceZero
}

/** Draws its sequences and rolls back: its events and its arrivals are as if they had never been. */
async function rollBack(app: App, { flights }: Batch): Promise<void> {
  const transaction = app.transaction(async (tx) => {
    await app.publish(flights.map(flightArrived), { tx })
    await insertArrivals(tx, flights)
    throw new Turbulence()
  })
  await transaction.catch((error: unknown) => {
    if (!(error instanceof Turbulence)) throw error
  })
}

async function insertArrivals({ db }: Transaction, flights: readonly Flight[]): Promise<void> {
  const rows = flights.map(({ flight, origin, destination, delay }) => {
    return { flight, origin, destination, delay }
  })
  await db.insertInto('arrivals').values(rows).execute()
}

/** Numbers the transactions and holds each back until it is due. */
async function* batchesOf(
  source: AsyncIterable<Flight>,
  { batchSize, flightsPerSecond, signal }: PublishingOptions,
): AsyncGenerator<Batch> {
  const startedAt = performance.now()
  let read = 0
  let number = 0
  let flights: Flight[] = []
  for await (const flight of source) {
    read += 1
    flights.push(flight)
    if (flights.length < batchSize) continue
    const due = flightsPerSecond === undefined ? 0 : startedAt + (read / flightsPerSecond) * 1000
    const early = due - performance.now()
    if (early > 0) await pause(early, undefined, { signal })
    signal.throwIfAborted()
    yield { number: ++number, flights }
    flights = []
  }
  if (flights.length > 0) yield { number: ++number, flights }
}
