import { setTimeout as delay } from 'node:timers/promises'
import type { TestDatabase } from '@tidemark/testing'
import type { Peer, Told } from './peer.ts'

/** Which events were committed, by their names, and when they were given to the publisher. */
export type Published = ReadonlyMap<string, number>

/** What became of some events. */
export interface Accounts {
  readonly published: number
  /** Events that never had an effect, had it more than once, or after a later one of their key. */
  readonly missed: number
  readonly twice: number
  readonly disordered: number
  /** Events that had their effect only when what dead processes held was given back by hand. */
  readonly held: number
}

/** An effect, with the time of its commit by the server's record, in milliseconds. */
export interface Effect extends Told {
  readonly at: number
}

// For so long a consumer that is gone may be taken for alive, on a busy machine: much longer than a lease.
const quiet = 10_000

export const nameOf = ({ key, n }: Told): string => `${key} ${n}`

/**
 * Publishes from some publishers at once, each to a key of its own.
 *
 * @param until - told how many have been published and for how many milliseconds.
 * @param pause - how long a publisher waits between INSERT and COMMIT of an event, and then before its next one.
 */
export async function publish(
  peer: Peer,
  url: string,
  publishers: number,
  until: (count: number, milliseconds: number) => boolean,
  pause: (n: number) => { readonly within: number; readonly after: number },
): Promise<Published> {
  await using publisher = await peer.publisher(url, publishers)
  const published = new Map<string, number>()
  const started = performance.now()
  let begun = 0
  await Promise.all(
    Array.from({ length: publishers }, async (_, key) => {
      for (let n = 1; !until(begun, performance.now() - started); n++) {
        begun += 1
        const { within, after } = pause(n)
        const at = Date.now()
        await publisher.publish({ key, n }, within)
        published.set(nameOf({ key, n }), at)
        if (after > 0) await delay(after)
      }
    }),
  )
  return published
}

/** The effects in the order in which they came. */
export async function effectsOf(database: TestDatabase): Promise<readonly Effect[]> {
  const { rows } = await database.query<Effect>(
    `SELECT key, n, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS at
       FROM effects ORDER BY id`,
  )
  return rows
}

/** How many events have had an effect. */
export async function handledSoFar(database: TestDatabase): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'SELECT count(DISTINCT (key, n))::integer AS n FROM effects',
  )
  return rows[0]?.n ?? 0
}

/**
 * Waits until all have had their effect, or nothing has happened for a while.
 *
 * @returns how many have not.
 */
export async function settled(database: TestDatabase, due: number): Promise<number> {
  let [last, since] = [0, performance.now()]
  for (;;) {
    const now = await handledSoFar(database)
    if (now !== last) [last, since] = [now, performance.now()]
    if (now >= due || performance.now() - since > quiet) return due - now
    await delay(100)
  }
}

/** Compares what was published with its effects, in the order in which they came. */
export function accountsOf(
  published: Published,
  effects: readonly Told[],
  held: number = 0,
): Accounts {
  const seen = new Map<string, number>()
  const latest = new Map<number, number>()
  let disordered = 0
  for (const told of effects) {
    const { key, n } = told
    seen.set(nameOf(told), (seen.get(nameOf(told)) ?? 0) + 1)
    if (n < (latest.get(key) ?? 0)) disordered += 1
    else latest.set(key, n)
  }
  return {
    published: published.size,
    missed: [...published.keys()].filter((name) => !seen.has(name)).length,
    twice: [...seen.values()].filter((times) => times > 1).length,
    disordered,
    held,
  }
}
