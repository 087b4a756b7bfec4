import { readdirSync, readFileSync } from 'node:fs'
import type { TestDatabase } from '@tidemark/testing'

/** Processor time, in milliseconds: of this process, and of the server with all of its backends. */
export interface CpuTime {
  readonly client: number
  readonly server: number
}

// Linux counts in hundredths of a second, on every architecture that Node runs on.
const tick = 10

/**
 * Measures what `work` costs besides time: on a machine that others use too, processor time is what does not grow
 * with their load. Undefined for the server where there is no /proc.
 */
export async function cpuTimeOf(
  database: TestDatabase,
  work: () => Promise<void>,
): Promise<CpuTime | undefined> {
  const postmaster = await postmasterOf(database)
  const before = serverTime(postmaster)
  const started = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(started)
  const after = serverTime(postmaster)
  if (before === undefined || after === undefined) return undefined
  return { client: (user + system) / 1000, server: after - before }
}

async function postmasterOf(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ file: string }>(
    `SELECT pg_read_file('postmaster.pid') AS file`,
  )
  return Number.parseInt(rows[0]?.file ?? '', 10)
}

/** The server and its children that live; those that ended are in the server's own account. */
function serverTime(postmaster: number): number | undefined {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/u.test(name))
      .reduce((sum, name) => sum + timeOf(Number(name), postmaster), 0)
  } catch {
    return undefined
  }
}

function timeOf(pid: number, postmaster: number): number {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    // It has just ended.
    return 0
  }
  // After the name, which may contain anything: state, parent, …, utime, stime, cutime, cstime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = (...indexes: readonly number[]): number =>
    indexes.reduce((sum, index) => sum + Number(fields[index]), 0) * tick
  if (pid === postmaster) return ticks(11, 12, 13, 14)
  return Number(fields[1]) === postmaster ? ticks(11, 12) : 0
}
