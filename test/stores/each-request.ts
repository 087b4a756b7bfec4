import type { StateStore } from '@tidemark/stores'
import { expect } from 'vitest'

/** A store of its own, one of whose requests goes wrong. */
export interface Faulty {
  readonly store: StateStore
  /** How many requests there were. */
  readonly requests: () => number
}

/**
 * Breaks one request after the other of a day in the life of a state, and expects of each day what it would be without:
 * each write happens once, and what is read is right.
 *
 * @param open - a store with nothing in it, whose request with this number, from 0, goes wrong.
 * @returns how many requests a day has.
 */
export async function eachRequest(open: (broken: number) => Faulty): Promise<number> {
  let most = Infinity
  for (let broken = 0; broken < most; broken += 1) {
    const { store, requests } = open(broken)
    const key = 'a'
    const created = await store.create(key, { value: 1, status: 'new' }, { token: 3n })
    const changed = await store.update(key, { value: 2, ttl: 60_000 }, { token: 4n })
    const { states } = await store.list({ status: 'new' })
    const deleted = await store.delete(key, { token: 4n })
    const put = await store.put(key, { value: 3 }, { token: 5n })
    expect([created.version, changed.version, deleted, put.version]).toEqual([1, 2, true, 4])
    expect(states.map(({ value, version }) => [value, version])).toEqual([[2, 2]])
    expect((await store.list()).states.map(({ value }) => value)).toEqual([3])
    await expect(store.put(key, { value: 0 }, { token: 4n })).rejects.toMatchObject({
      code: 'TIDEMARK_STATE_FENCED',
    })
    most = requests()
  }
  return most
}
