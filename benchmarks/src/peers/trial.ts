import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type PostgresServer, type TestDatabase } from '@tidemark/testing'
import { quantile } from '../measure.ts'
import { ConsumerProcess } from './consumer-process.ts'
import type { Peer, Told } from './peer.ts'

/** What is the same for all peers. */
export interface TrialOptions {
  readonly server: PostgresServer
  readonly publishers: number
  /** How long each part publishes. */
  readonly seconds: number
}

/** What became of some events. */
export interface Accounts {
  readonly published: number
  /** Events that never had an effect, had it more than once, or after a later one of their key. */
  readonly missed: number
  readonly twice: number
  readonly disordered: number
}

/** What was seen of one peer. */
export interface Trial {
  readonly peer: string
  readonly settings: string
  readonly concurrent: Accounts & { readonly p50: number; readonly p99: number }
  /** Of 100 events, how many had their effect within 2 s while an unrelated transaction was open. */
  readonly behind: number
  readonly killed: Accounts & { readonly kills: number }
  /** Events a second: committed by the publishers, and had their effect by a consumer that was behind. */
  readonly publishing: number
  readonly catchUp: number
}

// For so long a consumer that was killed may be taken for alive: longer than a lease.
const quiet = 6_000

/** Tries one peer, each part in a database of its own. */
export async function tryPeer(peer: Peer, options: TrialOptions): Promise<Trial> {
  return {
    peer: peer.name,
    settings: peer.settings,
    concurrent: await inDatabase(peer, options, concurrent),
    behind: await inDatabase(peer, options, behind),
    killed: await inDatabase(peer, options, killed),
    ...(await inDatabase(peer, options, rates)),
  }
}

type Part<T> = (peer: Peer, database: TestDatabase, options: TrialOptions) => Promise<T>

async function inDatabase<T>(peer: Peer, options: TrialOptions, part: Part<T>): Promise<T> {
  await using database = await createTestDatabase({ server: options.server })
  await database.query(
    'CREATE TABLE effects (id bigserial PRIMARY KEY, key integer NOT NULL, n integer NOT NULL)',
  )
  await peer.prepare(database.url)
  return await part(peer, database, options)
}

/** Publishes for some seconds, each publisher to a key of its own; answers when each event was committed. */
async function publishFor(
  peer: Peer,
  url: string,
  { publishers, seconds }: TrialOptions,
  pauses: boolean,
): Promise<Map<string, number>> {
  await using publisher = await peer.publisher(url, publishers)
  const commits = new Map<string, number>()
  const end = performance.now() + seconds * 1000
  await Promise.all(
    Array.from({ length: publishers }, async (_, key) => {
      for (let n = 1; performance.now() < end; n++) {
        // A pause lets others commit later numbers first.
        await publisher.publish({ key, n }, pauses && n % 2 === 0 ? Math.random() * 20 : 0)
        commits.set(`${key} ${n}`, Date.now())
        if (pauses) await delay(Math.random() * 10)
      }
    }),
  )
  return commits
}

async function effectsSoFar(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'SELECT count(DISTINCT (key, n))::integer AS n FROM effects',
  )
  return rows[0]?.n ?? 0
}

/** Waits until all have had their effect, or nothing has happened for a while. */
async function settled(database: TestDatabase, due: number): Promise<void> {
  let [last, since] = [0, performance.now()]
  for (;;) {
    const now = await effectsSoFar(database)
    if (now >= due) return
    if (now !== last) [last, since] = [now, performance.now()]
    if (performance.now() - since > quiet) return
    await delay(50)
  }
}

async function accountsOf(
  database: TestDatabase,
  commits: ReadonlyMap<string, number>,
): Promise<Accounts> {
  const { rows } = await database.query<Told>('SELECT key, n FROM effects ORDER BY id')
  const seen = new Map<string, number>()
  const latest = new Map<number, number>()
  let disordered = 0
  for (const { key, n } of rows) {
    const name = `${key} ${n}`
    seen.set(name, (seen.get(name) ?? 0) + 1)
    if (n < (latest.get(key) ?? 0)) disordered += 1
    else latest.set(key, n)
  }
  return {
    published: commits.size,
    missed: [...commits.keys()].filter((name) => !seen.has(name)).length,
    twice: [...seen.values()].filter((times) => times > 1).length,
    disordered,
  }
}

const concurrent: Part<Trial['concurrent']> = async (peer, database, options) => {
  await using _ = await ConsumerProcess.start(peer, database.url)
  const commits = await publishFor(peer, database.url, options, true)
  await settled(database, commits.size)
  const { rows } = await database.query<Told & { at: number }>(
    `SELECT key, n, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS at FROM effects`,
  )
  const latencies = rows.flatMap(({ key, n, at }) => {
    const told = commits.get(`${key} ${n}`)
    return told === undefined ? [] : [Math.max(0, at - told)]
  })
  const [p50, p99] = [0.5, 0.99].map((q) => quantile(latencies, q)) as [number, number]
  return { ...(await accountsOf(database, commits)), p50, p99 }
}

const behind: Part<number> = async (peer, database) => {
  await using _ = await ConsumerProcess.start(peer, database.url)
  await using publisher = await peer.publisher(database.url, 4)
  const unrelated = await database.connect()
  await unrelated.query('BEGIN')
  await unrelated.query('SELECT pg_current_xact_id()')
  for (let n = 1; n <= 100; n++) await publisher.publish({ key: 1, n }, 0)
  await delay(2_000)
  const handled = await effectsSoFar(database)
  await unrelated.query('ROLLBACK')
  return handled
}

const kills = 4

const killed: Part<Trial['killed']> = async (peer, database, options) => {
  let consumer = await ConsumerProcess.start(peer, database.url)
  const killing = async (): Promise<void> => {
    for (let kill = 0; kill < kills; kill++) {
      await delay((options.seconds * 1000) / kills)
      await consumer.kill()
      consumer = await ConsumerProcess.start(peer, database.url)
    }
  }
  // As fast as they can, so that there is something to do whenever it is killed.
  const [commits] = await Promise.all([publishFor(peer, database.url, options, false), killing()])
  await settled(database, commits.size)
  await consumer[Symbol.asyncDispose]()
  return { ...(await accountsOf(database, commits)), kills }
}

const rates: Part<Pick<Trial, 'publishing' | 'catchUp'>> = async (peer, database, options) => {
  const commits = await publishFor(peer, database.url, options, false)
  const started = performance.now()
  await using _ = await ConsumerProcess.start(peer, database.url)
  await settled(database, commits.size)
  const seconds = (performance.now() - started) / 1000
  return {
    publishing: commits.size / options.seconds,
    catchUp: (await effectsSoFar(database)) / seconds,
  }
}
