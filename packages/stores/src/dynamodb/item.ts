import { createHash } from 'node:crypto'
import type { KeptState } from '../backend/judge.ts'
import { keptUnder } from '../backend/kept.ts'
import type { Attribute, Item } from './table-client.ts'

// Lists without a status go through all of them: enough that no part of the index is hot, few enough to be asked.
export const shards = 8

/** The names of the two indexes. */
export const byStatus = 'status-createdAt'
export const byShard = 'shard-createdAt'

/** In which part of the second index a state is. */
function shardOf(store: string, key: string): string {
  const [first = 0] = createHash('sha1').update(key).digest()
  return `${store} ${first % shards}`
}

/** Under which status a store finds its states in the first index: a table may hold several stores. */
export function statusOf(store: string, status: string): string {
  return named(store, status)
}

/** The primary key of a state. */
export function idOf(store: string, key: string): string {
  return named(store, key)
}

/** What comes before the first blank is the name of the store: '' where that has none and there is a blank. */
function named(store: string, text: string): string {
  return store === '' && !text.includes(' ') ? text : `${store} ${text}`
}

function unnamed(store: string, text: string): string {
  return text.startsWith(`${store} `) ? text.slice(store.length + 1) : text
}

export function itemOf(store: string, state: KeptState): Item {
  const { key, status, name, body, live, forgetAt, expiresAt } = state
  const item: Record<string, Attribute> = {
    jobId: { S: idOf(store, key) },
    version: { N: String(state.version) },
    token: { N: String(state.token) },
    writeId: { S: state.writeId },
    createdAt: { N: String(state.createdAt) },
    updatedAt: { N: String(state.updatedAt) },
    fields: { S: JSON.stringify(state.fields) },
  }
  if (body !== null) item['body'] = { S: body }
  if (name !== null) item['name'] = { S: name }
  if (expiresAt !== null) item['endsAt'] = { N: String(expiresAt) }
  if (forgetAt !== null) {
    item['forgetAt'] = { N: String(forgetAt) }
    // DynamoDB's own clock goes by seconds, and removes an item some time after this one.
    item['expiresAt'] = { N: String(Math.ceil(forgetAt / 1000)) }
  }
  // What is only remembered is in no list.
  if (live) {
    item['shard'] = { S: shardOf(store, key) }
    if (status !== null) item['status'] = { S: statusOf(store, status) }
  }
  return item
}

/** Whether a store has written it: others may keep items of theirs in the same table. */
export function isOfStore(item: Item): boolean {
  return ['version', 'token', 'writeId', 'createdAt', 'fields'].every((name) => name in item)
}

/**
 * A state as an item has it; undefined: it need not be remembered any more.
 *
 * @throws TidemarkError TIDEMARK_STATE_UNREADABLE for what no store has written.
 */
export function stateOf(store: string, item: Item, now: number): KeptState | undefined {
  const text = (name: string): string | null => {
    const attribute = item[name]
    return attribute !== undefined && 'S' in attribute ? attribute.S : null
  }
  const number = (name: string): number | null => {
    const attribute = item[name]
    return attribute !== undefined && 'N' in attribute ? Number(attribute.N) : null
  }
  const key = unnamed(store, text('jobId') ?? '')
  const fields = keptUnder('dynamodb', key, () => {
    if (!isOfStore(item)) throw new Error('it has no version, token or write id')
    return JSON.parse(text('fields') ?? '{}') as KeptState['fields']
  })
  const forgetAt = number('forgetAt')
  if (forgetAt !== null && forgetAt <= now) return undefined
  const expiresAt = number('endsAt')
  const body = text('body')
  const status = text('status')
  const token = item['token']
  return {
    key,
    body,
    version: number('version') ?? 0,
    token: BigInt(token !== undefined && 'N' in token ? token.N : 0),
    writeId: text('writeId') ?? '',
    name: text('name'),
    status: status === null ? null : unnamed(store, status),
    fields,
    createdAt: number('createdAt') ?? 0,
    updatedAt: number('updatedAt') ?? 0,
    expiresAt,
    forgetAt,
    live: body !== null && (expiresAt ?? Infinity) > now,
  }
}
