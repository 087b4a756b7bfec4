import { setTimeout as delay } from 'node:timers/promises'
import { openStore, type StateStore } from '@tidemark/stores'
import { MemoryBackend } from '@tidemark/stores/memory'
import { mirrorJobs, type JobMirror, type MirroredJob } from '@tidemark/stores/mirror'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineJob, silentLogger, type App } from 'tidemark'
import { z } from 'zod'
import { concurrency, connections, drained } from './job-queue.ts'
import { quantile, spread } from './measure.ts'
import { fraction, whole, type Report } from './report.ts'
import type { Bench } from './server.ts'

/** A store, and how long after its transition each write was there, in milliseconds. */
interface Target {
  readonly store: StateStore<MirroredJob>
  readonly lags: number[]
}

const perSecond = 200
// Of a runner's connections, those that listeners leave to other things.
const aside = 3
// Spawned, started, completed.
const transitions = 3
const input = z.object({ n: z.number() })

/** Stores that take so long for a write, in milliseconds; Infinity: they do not answer. */
const targets: Readonly<Record<string, (() => Target) | undefined>> = {
  'no mirror': undefined,
  'a store in memory': () => target(0),
  'a store that takes 5 ms': () => target(5),
  'a store that does not answer': () => target(Infinity),
}

/** What a mirror costs jobs that come at a pace, how far it is behind them, and how many transitions it takes. */
export async function mirror(bench: Bench): Promise<Report> {
  const { options, progress } = bench
  const rows: string[][] = []
  const results: Record<string, unknown>[] = []
  for (const [name, open] of Object.entries(targets)) {
    const { latencies, lags } = await paced(bench, open?.())
    const [p50, p99, behind, longest] = [
      quantile(latencies, 0.5),
      quantile(latencies, 0.99),
      quantile(lags, 0.5),
      quantile(lags, 0.99),
    ]
    progress(`${name}: jobs ${p50.toFixed(1)} ms (p50), the mirror ${behind.toFixed(1)} ms`)
    results.push({
      case: name,
      jobs: latencies.length,
      p50,
      p99,
      lag: { p50: behind, p99: longest },
    })
    const lag = (value: number): string => (Number.isNaN(value) ? '–' : fraction(value))
    rows.push([name, fraction(p50), fraction(p99), lag(behind), lag(longest)])
  }
  const taken: string[][] = []
  for (const [name, partitions, time] of [
    ['a store in memory', 4, 0],
    ['a store that takes 5 ms', 4, 5],
    ['a store that takes 5 ms', 16, 5],
  ] as const) {
    const rates: number[] = []
    for (let run = 0; run < options.runs; run += 1) {
      rates.push(await piledUp(bench, target(time), partitions))
    }
    const { median } = spread(rates)
    progress(`${name}, ${partitions} partitions: ${whole(median)} transitions a second`)
    results.push({ case: name, partitions, rates })
    taken.push([name, String(partitions), whole(median)])
  }
  return {
    name: 'mirror',
    results,
    tables: [
      {
        title: `${perSecond} jobs a second, from spawned to completed, and how long after a transition it was in the mirror, in milliseconds`,
        columns: ['mirror into', 'job p50', 'job p99', 'mirror p50', 'mirror p99'],
        rows,
      },
      {
        title: 'transitions a second that a mirror takes from an outbox where they have piled up',
        columns: ['mirror into', 'partitions', 'per second'],
        rows: taken,
      },
    ],
  }
}

function target(time: number): Target {
  const backend = new MemoryBackend()
  const write = backend.write.bind(backend)
  backend.write = async (what, signal?: AbortSignal) => {
    if (time === Infinity)
      await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    if (time > 0 && time < Infinity) await delay(time)
    signal?.throwIfAborted()
    return write(what)
  }
  const store = openStore<MirroredJob>(backend)
  const lags: number[] = []
  const put = store.put.bind(store)
  store.put = async (key, state, given) => {
    const kept = await put(key, state, given)
    lags.push(Date.now() - state.value.updated.getTime())
    return kept
  }
  return { store, lags }
}

interface World extends AsyncDisposable {
  readonly database: TestDatabase
  readonly app: App
  readonly mirror: JobMirror | undefined
  readonly spawn: (from: number, count: number) => Promise<void>
}

async function world(
  { server }: Bench,
  to: StateStore<MirroredJob> | undefined,
  partitions: number,
  done: () => void,
): Promise<World> {
  const database = await createTestDatabase({ server })
  const job = defineJob('mirrored', { input, lifecycle: true, run: done })
  const made = to === undefined ? undefined : mirrorJobs({ to, partitions })
  const modules = [job, ...(made === undefined ? [] : [made])]
  const app = defineApp({ modules, connectionString: database.url, logger: silentLogger })
  return {
    database,
    app,
    mirror: made,
    spawn: async (from, count) => {
      await app.transaction(async ({ spawn }) => {
        for (let n = from; n < from + count; n += 1) await spawn(job, { n })
      })
    },
    async [Symbol.asyncDispose]() {
      await app.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** Jobs at a pace: how long each took, and how far the mirror was behind. */
async function paced(
  bench: Bench,
  to: Target | undefined,
): Promise<{ latencies: readonly number[]; lags: readonly number[] }> {
  // The first second is what happens once.
  const warmUp = perSecond
  const count = Math.round(perSecond * bench.options.seconds)
  const jobs = drained(count + warmUp)
  await using running = await world(bench, to?.store, 4, () => jobs.done())
  const { app, database, spawn } = running
  await app.start({ handleSignals: false, jobs: { concurrency, connections } })
  const started = performance.now()
  for (let n = 0; n < count + warmUp; n += 1) {
    const early = started + ((n + Math.random()) * 1_000) / perSecond - performance.now()
    if (early > 0) await delay(early)
    await spawn(n, 1)
  }
  await jobs.all
  for (;;) {
    const { rows } = await database.query<{ ms: string; open: boolean }>(
      `SELECT extract(epoch FROM finished_at - created_at) * 1000 AS ms, finished_at IS NULL AS open
       FROM tidemark.jobs ORDER BY created_at OFFSET ${warmUp}`,
    )
    if (!rows.some(({ open }) => open)) {
      const latencies = rows.map(({ ms }) => Number(ms))
      return { latencies, lags: to?.lags.slice(transitions * warmUp) ?? [] }
    }
    await delay(20)
  }
}

/** @returns how many transitions a second a mirror takes of what has piled up when its jobs have ended. */
async function piledUp(bench: Bench, to: Target, partitions: number): Promise<number> {
  const count = bench.options.events ?? 2_000
  const jobs = drained(count)
  await using running = await world(bench, to.store, partitions, () => jobs.done())
  const { app, mirror: made, spawn } = running
  await spawn(0, count)
  const maxConnections = partitions + aside
  await app.start({ handleSignals: false, maxConnections, jobs: { concurrency, connections } })
  await jobs.all
  const started = performance.now()
  const before = to.lags.length
  while (((await made?.lag(app))?.events ?? 0n) > 0n) await delay(20)
  return ((to.lags.length - before) * 1_000) / (performance.now() - started)
}
