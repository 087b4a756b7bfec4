import { fork, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, isTidemarkError, silentLogger, type App } from 'tidemark'
import { defineBenchmark, type Benchmark } from './benchmark.ts'
import { flight, flightArrived } from './events.ts'
import { liveBytes } from './live-bytes.ts'
import type { Bench } from './server.ts'
import { presentSoak } from './soak-report.ts'
import type { SoakQuestion, SoakSample } from './soak-worker.ts'

const publishers = 8

/** What the publishers did. */
export interface Published {
  events: number
  rolledBack: number
  /** Calls whose connection was killed, and that were made again with the same idempotency key. */
  repeated: number
}

/** A worker process and what it said of itself. */
interface Worker {
  readonly child: ChildProcess
  readonly ended: Promise<unknown>
  readonly samples: number[]
  readonly live: number[]
}

/** A process's memory. */
export interface Memory {
  readonly process: string
  /** Bytes of RSS, once a second. */
  readonly samples: readonly number[]
  /** Bytes that it held after a garbage collection: after a quarter of the time, and at the end of it. */
  readonly live: readonly number[]
}

/** The results of the benchmark. */
export interface SoakResults {
  readonly minutes: number
  readonly publishers: number
  readonly published: Published
  readonly killed: number
  /** Whether the listeners came to the end within two minutes after the last event. */
  readonly settled: boolean
  readonly found: Found
  readonly memory: readonly Memory[]
}

/**
 * Publishers that roll back now and then, two workers, and each second a connection that is killed, for as long as
 * asked. At the end every event has taken effect once and in order, and nothing is left open.
 */
export const soak: Benchmark = defineBenchmark<SoakResults>({
  summary:
    'rollbacks, two workers, a connection killed each second: once and in order, memory flat',
  minutes: 11,
  run: measureSoak,
  present: presentSoak,
})

async function measureSoak({ options, server, progress }: Bench): Promise<SoakResults> {
  await using database = await createTestDatabase({ server })
  await database.query(
    'CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sequence bigint NOT NULL)',
  )
  const workers = await Promise.all([startWorker(database.url), startWorker(database.url)])
  const published: Published = { events: 0, rolledBack: 0, repeated: 0 }
  const own: { samples: number[]; live: number[] } = { samples: [], live: [] }
  let killed = 0
  let settled: boolean
  try {
    await using app = defineApp({
      connectionString: database.url,
      modules: [flightArrived],
      maxConnections: 8,
      logger: silentLogger,
    })
    const seconds = options.minutes * 60
    const end = performance.now() + seconds * 1000
    const over = (): boolean => performance.now() >= end
    const load = Promise.all(
      Array.from({ length: publishers }, (_, worker) => publishUntil(app, worker, over, published)),
    )
    for (let second = 1; !over(); second++) {
      await delay(1_000)
      own.samples.push(process.memoryUsage.rss())
      if (second === Math.ceil(seconds / 4)) askWhatIsLive(own, workers)
      killed += await killOne(database)
      if (second % 30 === 0) {
        progress(`${second} s: ${published.events} events, ${killed} connections killed`)
      }
    }
    await load
    settled = await settle(database)
    askWhatIsLive(own, workers)
  } finally {
    for (const worker of workers) ask(worker, 'stop')
    await Promise.all(workers.map(({ ended }) => ended))
  }
  return {
    minutes: options.minutes,
    publishers,
    published,
    killed,
    settled,
    found: await examine(database),
    memory: [
      { process: 'publishing process', ...own },
      ...workers.map(({ samples, live }, n) => ({ process: `worker ${n + 1}`, samples, live })),
    ],
  }
}

async function startWorker(url: string): Promise<Worker> {
  const child = fork(fileURLToPath(new URL('soak-worker.ts', import.meta.url)))
  const samples: number[] = []
  const ended = once(child, 'exit')
  const live: number[] = []
  child.on('message', (message: SoakSample) => {
    if ('rss' in message) samples.push(message.rss)
    else live.push(message.live)
  })
  child.send(url)
  // The first sample comes when it runs.
  await Promise.race([
    once(child, 'message'),
    ended.then(() => Promise.reject(new Error('a worker ended at once'))),
  ])
  return { child, ended, samples, live }
}

function ask({ child }: Worker, question: SoakQuestion): void {
  if (child.connected) child.send(question)
}

/** The workers answer by and by, at the latest before they end. */
function askWhatIsLive(own: { live: number[] }, workers: readonly Worker[]): void {
  for (const worker of workers) ask(worker, 'live')
  own.live.push(liveBytes())
}

/** Publishes in every way until the time is over. What was published is known, also when a connection was lost. */
async function publishUntil(
  app: App,
  worker: number,
  over: () => boolean,
  published: Published,
): Promise<void> {
  for (let n = 0; !over(); n++) {
    const idempotencyKey = randomUUID()
    const stream = n % 3 === 0 ? { stream: `flight-${worker}-${n % 50}` } : {}
    const rollsBack = n % 7 === 6
    for (let again = false; ; again = true) {
      try {
        if (n % 2 === 0) await app.publish(flightArrived(flight(n)), { ...stream, idempotencyKey })
        else {
          await app.transaction(async (tx) => {
            tx.publish(flightArrived(flight(n)), { ...stream, idempotencyKey })
            if (!rollsBack) return
            // Numbers are drawn, and never seen.
            await tx.query(`SELECT tidemark.publish('bench.undone', '{}')`)
            throw new RolledBack()
          })
        }
        published.events += 1
        break
      } catch (error) {
        if (error instanceof RolledBack) {
          published.rolledBack += 1
          break
        }
        if (isTidemarkError(error, 'TIDEMARK_DUPLICATE_EVENT') && again) {
          published.events += 1
          break
        }
        published.repeated += 1
      }
    }
  }
}

class RolledBack extends Error {}

/** Ends a connection of the application's or of a worker's, by chance. */
async function killOne(database: TestDatabase): Promise<number> {
  const { rowCount } = await database.query(`
    SELECT pg_terminate_backend(pid) FROM (
      SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND application_name LIKE 'tidemark%'
        AND application_name NOT LIKE 'tidemark test%'
      ORDER BY random() LIMIT 1) AS one`)
  return rowCount ?? 0
}

/** Waits until the listeners have handled everything, for two minutes at most; answers whether they have. */
async function settle(database: TestDatabase): Promise<boolean> {
  const deadline = performance.now() + 120_000
  for (;;) {
    const { rows } = await database.query<{ done: boolean }>(`
      SELECT bool_and(c.cursor >= (SELECT max(sequence) FROM tidemark.events)) AS done
      FROM tidemark.cursors c`)
    if (rows[0]?.done === true) return true
    if (performance.now() > deadline) return false
    await delay(100)
  }
}

/** What the database says in the end. */
export interface Found {
  readonly events: number
  /** Events without an effect. */
  readonly missing: number
  /** Effects beyond the first of an event. */
  readonly twice: number
  /** Effects that committed after that of a later event. */
  readonly disorder: number
  /** How many events the projection counted. */
  readonly counted: number
  /** Connections that are still open. */
  readonly connections: number
  /** Horizons that the skip detector kept, and those that an event passed. */
  readonly samples: number
  readonly skips: number
}

async function examine(database: TestDatabase): Promise<Found> {
  const { rows } = await database.query<Found>(`
    SELECT
      (SELECT count(*)::integer FROM tidemark.events) AS events,
      (SELECT count(*)::integer FROM tidemark.events e
       WHERE NOT EXISTS (SELECT FROM effects f WHERE f.sequence = e.sequence)) AS missing,
      (SELECT (count(*) - count(DISTINCT sequence))::integer FROM effects) AS twice,
      (SELECT count(*)::integer FROM (
         SELECT sequence < lag(sequence) OVER (ORDER BY id) AS back FROM effects) AS o WHERE back) AS disorder,
      (SELECT (state #>> '{}')::integer FROM tidemark.cursors WHERE listener = 'soak.count') AS counted,
      (SELECT count(*)::integer FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE 'tidemark%'
         AND application_name NOT LIKE 'tidemark test%') AS connections,
      (SELECT coalesce(max(id), 0)::integer FROM tidemark.horizon_samples) AS samples,
      (SELECT count(*)::integer FROM tidemark.horizon_samples WHERE late IS NOT NULL) AS skips`)
  return rows[0] as Found
}
