import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineJob, defineListener, type Module } from 'tidemark'
import { z } from 'zod'
import { cpuTimeOf } from '../cpu-time.ts'
import { flight, flightArrived } from '../events.ts'
import { burstOf } from '../following.ts'
import type { Bench } from '../server.ts'
import { batchSize, type Work } from './cost-model.ts'
import { Counter, type Counts } from './counts.ts'

/** What was counted of some work. */
export interface Counted {
  readonly work: Work
  readonly counts: Omit<Counts, 'sent'>
  /** Milliseconds of processor time of the server; undefined where it cannot be told. */
  readonly serverMs: number | undefined
  readonly seconds: number
}

/** A burst, or events that come one at a time, and who handles them. */
export interface Size {
  /** Undefined: one at a time. */
  readonly events?: number | undefined
  readonly listeners: number
  readonly processes: number
}

/** How many events are published one by one, and how many jobs are spawned. */
const single = 1_000
/** How many events come one at a time, and how far apart in milliseconds. */
const steady = { events: 200, apart: 20 }
/** How many events one statement of a burst inserts. */
const chunk = 100_000

/** Does the same work in several sizes, and has the server count it. */
export async function measureSizes(bench: Bench, sizes: readonly Size[]): Promise<Counted[]> {
  const counted = [await countSingle(bench), await countJobs(bench)]
  for (const size of sizes) {
    const one = await countHandling(bench, size)
    counted.push(one)
    bench.progress(
      `${size.events ?? 'single'} events, ${size.listeners} listeners, ${size.processes} processes: ${one.counts.commits} commits, ${one.counts.statements} statements, ${Math.round(one.counts.walBytes / 1000)} kB of WAL in ${one.seconds.toFixed(1)} s`,
    )
  }
  return counted
}

/** Events that are published one by one, by any program. */
async function countSingle({ server }: Bench): Promise<Counted> {
  await using database = await createTestDatabase({ server })
  const payload = JSON.stringify(flight(1))
  return await count(database, { kind: 'publish', events: single, together: 1 }, async () => {
    for (let n = 0; n < single; n++) {
      await database.query(
        `INSERT INTO tidemark.events (type, payload) VALUES ('bench.flight_arrived', $1::jsonb)`,
        [payload],
      )
    }
  })
}

/** Empty jobs. */
async function countJobs({ server }: Bench): Promise<Counted> {
  await using database = await createTestDatabase({ server })
  let left = single
  const done = Promise.withResolvers<void>()
  const job = defineJob('counted', {
    input: z.object({ n: z.number() }),
    run: () => {
      left -= 1
      if (left === 0) done.resolve()
    },
  })
  await using app = defineApp({ modules: [job], connectionString: database.url })
  await app.start({ handleSignals: false, maintenanceInterval: 3_600_000 })
  await delay(1_000)
  return await count(database, { kind: 'jobs', jobs: single }, async () => {
    for (let n = 0; n < single; n++) await app.jobs.spawn(job, { n })
    await done.promise
  })
}

/** Events that go through listeners that were at the end of the outbox. */
async function countHandling({ server }: Bench, size: Size): Promise<Counted> {
  const { listeners, processes, events = steady.events } = size
  const alone = size.events === undefined
  await using database = await createTestDatabase({ server })
  const left = new Map<string, number>()
  const done = Promise.withResolvers<void>()
  const modules = Array.from({ length: listeners }, (_, n): Module => {
    const name = `counted_${n}`
    left.set(name, events)
    return defineListener(name, { startFrom: 'now' }).on(flightArrived, () => {
      const more = (left.get(name) ?? 0) - 1
      if (more > 0) left.set(name, more)
      else left.delete(name)
      if (left.size === 0) done.resolve()
    })
  })
  await using apps = new AsyncDisposableStack()
  for (let n = 0; n < processes; n++) {
    const app = apps.use(defineApp({ modules, connectionString: database.url, maxConnections: 4 }))
    await app.start({ handleSignals: false, maintenanceInterval: 3_600_000 })
  }
  await allOwned(database, listeners)
  const together = alone ? 1 : batchSize
  const work = { kind: 'handle', events, listeners, processes, together, seconds: 0 } as const
  const counted = await count(database, work, async () => {
    if (alone) {
      for (let n = 0; n < events; n++) {
        await burstOf(database, 1)()
        await delay(steady.apart)
      }
    } else {
      for (let sent = 0; sent < events; sent += chunk) {
        await burstOf(database, Math.min(chunk, events - sent))()
      }
    }
    await done.promise
  })
  return { ...counted, work: { ...work, seconds: counted.seconds } }
}

/** Waits until each listener has an owner, and all have looked since. */
export async function allOwned(database: TestDatabase, listeners: number): Promise<void> {
  for (;;) {
    const { rows } = await database.query<{ owned: number }>(
      'SELECT count(*)::integer AS owned FROM tidemark.cursors WHERE owner IS NOT NULL',
    )
    if (rows[0]?.owned === listeners) break
    await delay(100)
  }
  await delay(3_000)
}

async function count(
  database: TestDatabase,
  work: Work,
  run: () => Promise<void>,
): Promise<Counted> {
  const counter = await Counter.of(database)
  const began = performance.now()
  let counts: Counts | undefined
  const cpu = await cpuTimeOf(database, async () => {
    counts = await counter.during(run)
  })
  if (counts === undefined) throw new Error('nothing was counted')
  const { sent: _, ...totals } = counts
  return {
    work,
    counts: totals,
    serverMs: cpu?.server,
    seconds: (performance.now() - began) / 1000,
  }
}
