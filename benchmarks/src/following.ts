import type { TestDatabase } from '@tidemark/testing'
import { defineApp, defineListener, toEventSequence, type Listener } from 'tidemark'
import { flight, flightArrived } from './events.ts'

/** What events cost a process to read that was at the end of the outbox when they came. */
export interface Followed {
  readonly events: number
  readonly cpuSeconds: number
  /** From the first moment of publishing until the last listener had handled the last event. */
  readonly seconds: number
  /** Events a second from the commit of the last event until the last listener had handled it. */
  readonly rate: number
  /** The last sequence before those events. */
  readonly after: string
}

/** Publishes the events that the listeners are to follow; answers when the last of them has committed. */
export type Publish = () => Promise<unknown>

/**
 * Starts a process's listeners at the end of the outbox, lets somebody else publish, and waits until all have handled
 * everything.
 *
 * @param run - distinguishes the names of the listeners from those of other runs.
 */
export async function follow(
  database: TestDatabase,
  count: number,
  events: number,
  run: string,
  publish: Publish,
): Promise<Followed> {
  const listeners = Array.from(
    { length: count },
    (_, n) => new Countdown(`tail_${run}_${n}`, events),
  )
  const { rows } = await database.query<{ after: string }>(
    `SELECT last_value AS after FROM tidemark.events_sequence`,
  )
  // A peer that was loaded may have changed what the driver makes of a bigint.
  const after = String(rows[0]?.after ?? 0)
  await using app = defineApp({
    modules: listeners.map(({ definition }) => definition),
    connectionString: database.url,
  })
  await app.start({ handleSignals: false, maintenanceInterval: 3_600_000 })
  const start = toEventSequence(after)
  await Promise.all(listeners.map(({ definition }) => app.waitFor(definition, start)))
  const cpu = process.cpuUsage()
  const started = performance.now()
  await publish()
  const committed = performance.now()
  await Promise.all(listeners.map(({ done }) => done))
  const ended = performance.now()
  const { user, system } = process.cpuUsage(cpu)
  return {
    events,
    seconds: (ended - started) / 1000,
    rate: events / ((ended - committed) / 1000),
    cpuSeconds: (user + system) / 1e6,
    after,
  }
}

/** Somebody who commits so many events at once. */
export function burstOf(database: TestDatabase, events: number): Publish {
  return () =>
    database.query(
      `INSERT INTO tidemark.events (type, payload)
       SELECT 'bench.flight_arrived', $1::jsonb FROM generate_series(1, $2::integer)`,
      [JSON.stringify(flight(1)), events],
    )
}

/** A listener with an empty handler, and the moment at which it has seen so many events. */
class Countdown {
  readonly definition: Listener
  readonly done: Promise<void>

  constructor(name: string, events: number) {
    const all = Promise.withResolvers<void>()
    let left = events
    this.done = all.promise
    this.definition = defineListener(name, { startFrom: 'now' }).on(flightArrived, () => {
      left -= 1
      if (left === 0) all.resolve()
    })
  }
}
