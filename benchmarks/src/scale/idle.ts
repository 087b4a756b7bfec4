import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { defineApp, defineJob, defineListener, type Module } from 'tidemark'
import { z } from 'zod'
import { cpuTimeOf } from '../cpu-time.ts'
import { flightArrived } from '../events.ts'
import type { Bench } from '../server.ts'
import { Counter, type Counts, type Sent } from './counts.ts'
import { allOwned } from './sizes.ts'

/** What applications cost while nothing happens, each second and for each process. */
export interface IdleCost extends IdleSize {
  readonly statements: number
  readonly commits: number
  readonly walBytes: number
  readonly rows: number
  /** Connections, and the memory of the server that is theirs alone. */
  readonly connections: number
  readonly privateBytes: number | undefined
  /** Milliseconds of processor time. */
  readonly clientMs: number
  readonly serverMs: number | undefined
  /** How often each statement is sent. */
  readonly sent: readonly Sent[]
}

/** Applications that are all alike. */
export interface IdleSize {
  readonly processes: number
  readonly listeners: number
  readonly jobs: number
}

/** Measures applications that have nothing to do, `seconds` each. */
export async function measureIdle(
  { server, options, progress }: Bench,
  sizes: readonly IdleSize[],
): Promise<IdleCost[]> {
  const costs: IdleCost[] = []
  for (const size of sizes) {
    await using database = await createTestDatabase({ server })
    const cost = await idle(database, size, options.seconds)
    costs.push(cost)
    progress(
      `idle: ${size.processes} × ${size.listeners} listeners, ${size.jobs} jobs: ${cost.statements.toFixed(1)} statements, ${cost.commits.toFixed(2)} commits a second and process`,
    )
  }
  return costs
}

async function idle(database: TestDatabase, size: IdleSize, seconds: number): Promise<IdleCost> {
  await using apps = new AsyncDisposableStack()
  const modules = definitions(size)
  for (let n = 0; n < size.processes; n++) {
    const app = apps.use(defineApp({ modules, connectionString: database.url }))
    await app.start({ handleSignals: false, maintenanceInterval: 3_600_000 })
  }
  await allOwned(database, size.listeners)
  const counter = await Counter.of(database)
  let counts: Counts | undefined
  const cpu = await cpuTimeOf(database, async () => {
    counts = await counter.during(() => delay(seconds * 1000))
  })
  if (counts === undefined) throw new Error('nothing was counted')
  const { connections, privateBytes } = await backends(database)
  const each = (count: number): number => count / seconds / size.processes
  return {
    ...size,
    statements: each(counts.statements),
    commits: each(counts.commits),
    walBytes: each(counts.walBytes),
    rows: each(counts.rows),
    connections: connections / size.processes,
    privateBytes: privateBytes && privateBytes / size.processes,
    clientMs: each(cpu?.client ?? Number.NaN),
    serverMs: cpu && each(cpu.server),
    sent: counts.sent.map(({ name, calls }) => ({ name, calls: each(calls) })),
  }
}

function definitions(size: IdleSize): Module[] {
  return [
    ...Array.from({ length: size.listeners }, (_, n) =>
      defineListener(`idle_${n}`, { startFrom: 'now' }).on(flightArrived, () => {}),
    ),
    ...Array.from({ length: size.jobs }, (_, n) =>
      defineJob(`idle_job_${n}`, { input: z.object({}), run: () => {} }),
    ),
  ]
}

/** The connections of the applications, and what their servers' processes keep for themselves. */
async function backends(
  database: TestDatabase,
): Promise<{ connections: number; privateBytes: number | undefined }> {
  const { rows } = await database.query<{ pid: number }>(`
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'tidemark%'
      AND application_name NOT LIKE 'tidemark test%'`)
  return {
    connections: rows.length,
    privateBytes: rows
      .map(({ pid }) => privateBytesOf(pid))
      .reduce(
        (sum, bytes) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
        0,
      ),
  }
}

/** Undefined where there is no /proc. */
function privateBytesOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const kilobytes = text.matchAll(/^Private_\w+:\s+(\d+) kB$/gmu)
    return [...kilobytes].reduce((sum, [, value]) => sum + Number(value) * 1024, 0)
  } catch {
    return undefined
  }
}
