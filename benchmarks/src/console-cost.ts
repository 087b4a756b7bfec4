import { setTimeout as sleep } from 'node:timers/promises'
import type { Api } from '@tidemark/http'
import type { TestDatabase } from '@tidemark/testing'
import { cpuTimeOf } from './cpu-time.ts'

/** What consoles cost that are left open, in each second. */
export interface ConsoleCost {
  readonly consoles: number
  readonly screen: string
  readonly transactions: number
  /** Processor time of the server, and of the process that serves the console, in milliseconds. */
  readonly server: number
  readonly client: number
}

const peer = { address: '127.0.0.1' }
// As the page: so many milliseconds after each answer.
const again = 2_000

/** What each screen asks for again and again, beside the stream of the overview. */
const screens: Readonly<Record<string, readonly string[]>> = {
  overview: [],
  jobs: ['/jobs?limit=50', '/job-counts'],
  events: ['/events?limit=50'],
}

/**
 * Measures none, one and ten, each at each of the screens that are left open.
 *
 * @param seconds - how long each is open; at least ten, so that all that is looked at less often is in it.
 */
export async function consoleCost(
  database: TestDatabase,
  api: Api,
  seconds: number,
  progress: (line: string) => void,
): Promise<readonly ConsoleCost[]> {
  const found: ConsoleCost[] = []
  for (const [consoles, screen] of [
    [0, 'none'],
    ...Object.keys(screens).flatMap((name) => [
      [1, name],
      [10, name],
    ]),
  ] as unknown as readonly (readonly [number, string])[]) {
    found.push(await costOf(database, api, consoles, screen, Math.max(10, seconds)))
    progress(JSON.stringify(found.at(-1)))
  }
  return found
}

async function costOf(
  database: TestDatabase,
  api: Api,
  consoles: number,
  screen: string,
  seconds: number,
): Promise<ConsoleCost> {
  const closing = new AbortController()
  const open = Array.from({ length: consoles }, () =>
    browse(api, screens[screen] ?? [], closing.signal),
  )
  // What is looked at first is prepared.
  await sleep(5_000)
  const before = await transactionsOf(database)
  const cpu = await cpuTimeOf(database, () => sleep(seconds * 1_000))
  const after = await transactionsOf(database)
  closing.abort()
  await Promise.all(open)
  return {
    consoles,
    screen,
    // Without that of the question itself.
    transactions: Math.max(0, after - before - 1) / seconds,
    server: (cpu?.server ?? Number.NaN) / seconds,
    client: (cpu?.client ?? Number.NaN) / seconds,
  }
}

/** What a page does that is left open. */
async function browse(api: Api, paths: readonly string[], signal: AbortSignal): Promise<void> {
  const ask = (path: string): Promise<Response> =>
    api(new Request(`http://localhost${path}`, { signal }), peer)
  const follow = async (): Promise<void> => {
    const reader = (await ask('/overview/stream')).body?.getReader()
    while (reader !== undefined && !(await reader.read()).done);
  }
  const poll = async (path: string): Promise<void> => {
    while (!signal.aborted) {
      await (await ask(path)).text()
      await sleep(again, undefined, { signal })
    }
  }
  // Whoever leaves breaks off what is under way.
  await Promise.allSettled([follow(), ...paths.map(poll)])
}

async function transactionsOf(database: TestDatabase): Promise<number> {
  // What a session has done, it says only when it has been idle for a while; this one waits for that.
  await sleep(1_100)
  const { rows } = await database.query<{ all: number }>(
    `SELECT (xact_commit + xact_rollback)::float8 AS all FROM pg_stat_database WHERE datname = current_database()`,
  )
  return rows[0]?.all ?? Number.NaN
}
