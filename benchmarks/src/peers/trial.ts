import { setTimeout as delay } from 'node:timers/promises'
import { createTestDatabase, type PostgresServer, type TestDatabase } from '@tidemark/testing'
import { quantile } from '../measure.ts'
import {
  accountsOf,
  effectsOf,
  handledSoFar,
  nameOf,
  publish,
  settled,
  type Accounts,
  type Effect,
  type Published,
} from './accounts.ts'
import { ConsumerProcess } from './consumer-process.ts'
import type { Peer } from './peer.ts'

/** What is the same for all peers. */
export interface TrialOptions {
  readonly server: PostgresServer
  readonly publishers: number
  /** How long each part publishes. */
  readonly seconds: number
  /** How many events there are to catch up with. */
  readonly events: number
}

/** What was seen of one peer. */
export interface Trial {
  readonly peer: string
  readonly concurrent: Accounts
  readonly killed: Accounts & { readonly kills: number }
  /** With the longest time in which nothing had an effect, in milliseconds. */
  readonly frozen: Accounts & { readonly longest: number }
  /** Of 100 events, how many had their effect within 2 s while an unrelated transaction was open. */
  readonly behind: number
  /** From the call that publishes to the commit of the effect, in milliseconds. */
  readonly latency: { readonly p50: number; readonly p99: number }
  /** Events a second: published, then handled by a consumer that was behind, with an effect and with none. */
  readonly publishing: number
  /** Null if all had their effect in one commit. */
  readonly effects: number | null
  readonly handling: number
}

/** Tries one peer, each part in a database of its own. */
export async function tryPeer(peer: Peer, options: TrialOptions): Promise<Trial> {
  const inDatabase = async <T>(part: Part<T>): Promise<T> => {
    await using database = await createTestDatabase({ server: options.server })
    await database.query(
      'CREATE TABLE effects (id bigserial PRIMARY KEY, key integer NOT NULL, n integer NOT NULL)',
    )
    await peer.prepare(database.url)
    try {
      return await part(peer, database, options)
    } finally {
      await peer.remove?.(database.url)
    }
  }
  return {
    peer: peer.name,
    concurrent: await inDatabase(concurrent),
    killed: await inDatabase(killed),
    frozen: await inDatabase(frozen),
    behind: await inDatabase(behind),
    latency: await inDatabase(latency),
    ...(await inDatabase(catchingUp)),
    handling: await inDatabase(handling),
  }
}

type Part<T> = (peer: Peer, database: TestDatabase, options: TrialOptions) => Promise<T>

const atOnce = { within: 0, after: 0 }
/** Up to so many milliseconds. */
const upTo = (most: number): number => Math.random() * most

const concurrent: Part<Accounts> = async (peer, database, { publishers, seconds }) => {
  await using _ = await ConsumerProcess.start(peer, database.url)
  const published = await publish(
    peer,
    database.url,
    publishers,
    (_count, milliseconds) => milliseconds > seconds * 1000,
    // A pause lets others commit later numbers first.
    (n) => ({ within: n % 2 === 0 ? upTo(20) : 0, after: upTo(10) }),
  )
  await settled(database, published.size)
  return accountsOf(published, await effectsOf(database))
}

const kills = 4

const killed: Part<Trial['killed']> = async (peer, database, { publishers, seconds }) => {
  let consumer = await ConsumerProcess.start(peer, database.url)
  const killing = async (): Promise<void> => {
    for (let kill = 0; kill < kills; kill++) {
      await delay((seconds * 1000) / kills)
      await consumer.kill()
      consumer = await ConsumerProcess.start(peer, database.url)
    }
  }
  const [published] = await Promise.all([
    publish(
      peer,
      database.url,
      publishers,
      (_count, milliseconds) => milliseconds > seconds * 1000,
      () => ({ within: 0, after: upTo(20) }),
    ),
    killing(),
  ])
  let held = await settled(database, published.size)
  await consumer[Symbol.asyncDispose]()
  if (held > 0 && peer.release !== undefined) {
    await peer.release(database.url)
    await using _ = await ConsumerProcess.start(peer, database.url)
    held -= await settled(database, published.size)
  } else held = 0
  return { ...accountsOf(published, await effectsOf(database), held), kills }
}

// Longer than the leases and locks of all peers, with the time that they need to notice.
const freeze = 6_000

const frozen: Part<Trial['frozen']> = async (peer, database, { publishers }) => {
  // Together: an owner that has had nothing to do for long may be taken for one that is gone.
  const [a, b] = await Promise.all([
    ConsumerProcess.start(peer, database.url, 'a'),
    ConsumerProcess.start(peer, database.url, 'b'),
  ])
  await using first = a
  await using second = b
  let over = false
  const freezing = async (): Promise<void> => {
    // One of the two owns what only one may have.
    for (const consumer of [first, second]) {
      await delay(1_500)
      consumer.freeze()
      await delay(freeze)
      consumer.thaw()
    }
    await delay(1_500)
    over = true
  }
  const [published] = await Promise.all([
    publish(
      peer,
      database.url,
      publishers,
      () => over,
      // So few that the slowest keep up.
      () => ({ within: 0, after: upTo(100) }),
    ),
    freezing(),
  ])
  const end = Date.now()
  await settled(database, published.size)
  const effects = await effectsOf(database)
  return { ...accountsOf(published, effects), longest: longestGap(effects, end) }
}

/** The longest time between effects, or from one to the end. */
function longestGap(effects: readonly Effect[], end: number): number {
  const times = effects.map(({ at }) => at).toSorted((a, b) => a - b)
  const until = [...times.filter((at) => at < end), end]
  return Math.max(...until.map((at, index) => at - (until[index - 1] ?? at)))
}

const behind: Part<number> = async (peer, database) => {
  await using _ = await ConsumerProcess.start(peer, database.url)
  await using publisher = await peer.publisher(database.url, 4)
  const unrelated = await database.connect()
  await unrelated.query('BEGIN')
  await unrelated.query('SELECT pg_current_xact_id()')
  for (let n = 1; n <= 100; n++) await publisher.publish({ key: 1, n }, 0)
  await delay(2_000)
  const handled = await handledSoFar(database)
  await unrelated.query('ROLLBACK')
  return handled
}

/** What is not counted: a peer that has just started. */
const warmUp = 1_000

const latency: Part<Trial['latency']> = async (peer, database, { seconds }) => {
  await using _ = await ConsumerProcess.start(peer, database.url)
  const began = Date.now()
  const published = await publish(
    peer,
    database.url,
    1,
    (_count, milliseconds) => milliseconds > warmUp + seconds * 1000,
    () => ({ within: 0, after: 20 }),
  )
  await settled(database, published.size)
  const latencies = (await effectsOf(database)).flatMap((effect) => {
    const told = published.get(nameOf(effect)) ?? 0
    return told < began + warmUp ? [] : [effect.at - told]
  })
  const [p50, p99] = [0.5, 0.99].map((q) => quantile(latencies, q)) as [number, number]
  return { p50, p99 }
}

// A consumer that is slower than that is measured by what it did until then.
const longest = 20_000
// One that has missed events does not reach their number.
const idle = 3_000

async function publishAll(
  peer: Peer,
  database: TestDatabase,
  { publishers, events }: TrialOptions,
): Promise<Published> {
  return await publish(
    peer,
    database.url,
    publishers,
    (count) => count >= events,
    () => atOnce,
  )
}

const catchingUp: Part<Pick<Trial, 'publishing' | 'effects'>> = async (peer, database, options) => {
  const started = performance.now()
  const published = await publishAll(peer, database, options)
  const seconds = (performance.now() - started) / 1000
  await using _ = await ConsumerProcess.start(peer, database.url)
  await reached(published.size, () => rowsSoFar(database))
  const times = (await effectsOf(database)).map(({ at }) => at).toSorted((a, b) => a - b)
  return { publishing: published.size / seconds, effects: rateOf(times) }
}

const handling: Part<number> = async (peer, database, options) => {
  const published = await publishAll(peer, database, options)
  await using consumer = await ConsumerProcess.start(peer, database.url, 'a', 'nothing')
  await reached(published.size, async () => (await consumer.handled()).count)
  const { count, first, last } = await consumer.handled()
  return ((count - 1) / (last - first)) * 1000
}

/** Waits until so many are counted, or nothing has happened for a while, or for the longest time that is waited for. */
async function reached(due: number, count: () => Promise<number>): Promise<void> {
  const end = performance.now() + longest
  let [last, since] = [0, performance.now()]
  while (performance.now() < end) {
    const now = await count()
    if (now !== last) [last, since] = [now, performance.now()]
    if (now >= due || (now > 0 && performance.now() - since > idle)) return
    await delay(100)
  }
}

/** Costs the server next to nothing while it is measured. */
async function rowsSoFar(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'SELECT coalesce(max(id), 0)::integer AS n FROM effects',
  )
  return rows[0]?.n ?? 0
}

/** How many came a second after the first commit: what it took to start does not count. Null for a single commit. */
function rateOf(times: readonly number[]): number | null {
  const [first = 0, last = 0] = [times[0], times.at(-1)]
  if (last === first) return null
  return (times.filter((at) => at > first).length / (last - first)) * 1000
}
