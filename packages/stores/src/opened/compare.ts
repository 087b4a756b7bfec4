import { isTidemarkError } from 'tidemark'
import type { BatchWrite } from '../contract/batch.ts'
import type { StateStore } from '../contract/state-store.ts'
import type { State } from '../contract/state.ts'
import type { SyncEntry, SyncOptions, SyncReport } from '../contract/sync.ts'
import { checkSyncEntry, invalid } from './checked.ts'

// How many states are looked at, and written, at once.
const page = 500

/** Compares page by page: only keys are kept of what the store has, and only the entries of what it is compared with. */
export async function compare<Value>(
  store: StateStore<Value>,
  entries: Iterable<SyncEntry<Value>>,
  { filter = {}, write = false, remove = false }: SyncOptions,
): Promise<SyncReport> {
  const wanted = new Map<string, SyncEntry<Value>>()
  if (typeof (entries as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] !== 'function') {
    throw invalid('sync', 'entries', 'must be iterable')
  }
  // All of them before the first is written: what is compared with half of a list finds the other half superfluous.
  for (const entry of entries) {
    checkSyncEntry(entry)
    wanted.set(entry.key, entry)
  }
  const report = { missing: [] as string[], extra: [] as string[], older: [] as string[] }
  const newer: string[] = []
  const refused: string[] = []
  const due: BatchWrite<Value>[] = []

  const keys = [...wanted.keys()]
  for (let start = 0; start < keys.length; start += page) {
    const some = keys.slice(start, start + page)
    // One that cannot be read is missing, and is written anew.
    const found = await store.getMany(some, { onUnreadable: 'skip' })
    for (const [index, state] of found.entries()) {
      const key = some[index] as string
      const entry = wanted.get(key) as SyncEntry<Value>
      const is = difference(entry, state)
      if (is === 'missing' || is === 'older') report[is].push(key)
      if (is === 'newer') newer.push(key)
      if (write && entry.state !== undefined && (is === 'missing' || is === 'older')) {
        due.push({
          op: 'put',
          key,
          state: entry.state,
          ...(entry.token === undefined ? {} : { token: entry.token }),
          // What somebody writes meanwhile is newer than what was looked at.
          ...(state === undefined ? {} : { ifVersion: state.version }),
        })
      }
    }
  }
  const written = await carryOut(store, due, refused)

  const superfluous: BatchWrite<Value>[] = []
  for (let after: string | undefined; ;) {
    const { states, unreadable, next } = await store.list({
      ...filter,
      limit: page,
      onUnreadable: 'skip',
      ...(after === undefined ? {} : { after }),
    })
    for (const { key, version, token } of [...states, ...unreadable]) {
      if (wanted.has(key)) continue
      report.extra.push(key)
      if (remove) superfluous.push({ op: 'delete', key, ifVersion: version, token })
    }
    if (next === null) break
    after = next
  }
  const removed = await carryOut(store, superfluous, refused)
  return { ...report, newer, written, removed, refused }
}

function difference<Value>(
  { version, token }: SyncEntry<Value>,
  state: State<Value> | undefined,
): 'missing' | 'older' | 'newer' | 'same' {
  if (state === undefined) return 'missing'
  // The token says who wrote, the version only how often.
  if (token !== undefined && token !== state.token) return state.token < token ? 'older' : 'newer'
  if (version !== undefined && version !== state.version) {
    return state.version < version ? 'older' : 'newer'
  }
  return 'same'
}

/** Makes writes, and notes the keys of those that were refused or failed. Answers how many were made. */
async function carryOut<Value>(
  store: StateStore<Value>,
  writes: readonly BatchWrite<Value>[],
  refused: string[],
): Promise<number> {
  let made = 0
  for (let start = 0; start < writes.length; start += page) {
    const some = writes.slice(start, start + page)
    for (const [index, outcome] of (await store.batch(some)).entries()) {
      if (outcome.ok) made += 1
      else if (isTidemarkError(outcome.error)) refused.push((some[index] as BatchWrite<Value>).key)
    }
  }
  return made
}
