import { setTimeout as wait } from 'node:timers/promises'
import { TidemarkError } from 'tidemark'
import type {
  ListQuery,
  StateBackend,
  StoredPage,
  StoredState,
  Write,
  WriteOutcome,
} from '../backend/backend.ts'
import { isRepeated, refusal, written, type KeptState } from '../backend/judge.ts'
import { matches, statusesOf } from '../backend/matches.ts'
import { inOrder, placeOf, placeText, type Place } from '../backend/place.ts'
import type { StateFilter } from '../contract/state.ts'
import { byShard, byStatus, idOf, isOfStore, itemOf, shards, stateOf, statusOf } from './item.ts'
import { DynamoError, isPassing, type Item, type TableClient } from './table-client.ts'

// What DynamoDB answers in one request.
const mostRead = 100
// Before what was left unread is asked for again, in milliseconds. Each further time waits twice as long, up to the longest.
const firstPause = 20
const longestPause = 500
// States that a page looks at where few of them may be wanted.
const leastExamined = 100

/**
 * An item for each state, replaced only if it is still the one that was judged. Where it is not, the refusal brings the
 * one that is there (`ALL_OLD`), which is judged next: nothing is read twice.
 *
 * INVARIANT: a write id is in one item only ever, so an item with the id that was judged is the item that was judged.
 */
export class DynamoBackend implements StateBackend {
  readonly name = 'dynamodb'
  // An item has at most 400 KiB, with the names of its attributes, its key, its fields.
  readonly mostBytes: number = 380_000
  readonly #client: TableClient
  readonly #store: string

  constructor(client: TableClient, store: string) {
    this.#client = client
    this.#store = store
  }

  async write(write: Write, signal: AbortSignal): Promise<WriteOutcome> {
    // Of a key that nobody has used there is nothing to read. A version that is expected is one of something.
    const isFirst = write.op === 'create' && (write.ifVersion ?? 0) === 0
    const [found] = isFirst ? [] : await this.#items([write.key], signal)
    for (let item = found; ;) {
      const now = Date.now()
      const current = item === undefined ? undefined : stateOf(this.#store, item, now)
      if (current !== undefined && isRepeated(current, write)) {
        return { is: 'written', state: current }
      }
      const refused = refusal(current, write)
      if (refused !== undefined) return refused
      const state = written(current, write, now)
      const outcome = await this.#replace(item, state, signal)
      if (outcome === 'replaced') return { is: 'written', state }
      // Somebody else was faster: judged again by what that one wrote.
      item = outcome
      signal.throwIfAborted()
    }
  }

  async read(
    keys: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly (StoredState | undefined)[]> {
    const now = Date.now()
    const items = await this.#items(keys, signal)
    return items.map((item) => (item === undefined ? undefined : stateOf(this.#store, item, now)))
  }

  async list({ filter, limit, after }: ListQuery, signal: AbortSignal): Promise<StoredPage> {
    const place = after === undefined ? undefined : placeOf(after)
    const most = Math.max(limit, leastExamined)
    const parts = this.#partsOf(filter)
    const states: KeptState[] = []
    const seen = new Set<string>()
    let examined = 0
    let last: Place | undefined
    for await (const group of merged(
      parts.map((part) => this.#query(part, filter, place, signal)),
    )) {
      for (const state of group.toSorted(inOrder)) {
        if (place !== undefined && inOrder(state, place) <= 0) continue
        if (states.length === limit || examined >= most) {
          return { states, next: last === undefined ? null : placeText(last) }
        }
        examined += 1
        last = state
        if (seen.has(state.key) || !state.live || !matches(state, filter)) continue
        seen.add(state.key)
        states.push(state)
      }
    }
    return { states, next: null }
  }

  async ping(signal: AbortSignal): Promise<void> {
    await this.#items(['ping'], signal)
  }

  /** DynamoDB removes by itself what has been remembered long enough. */
  async sweep(): Promise<number> {
    return 0
  }

  isTransient(error: unknown): boolean {
    return isPassing(error)
  }

  async close(): Promise<void> {
    // The client is the caller's, and holds nothing open.
  }

  /** Writes a state if nothing has come between; answers what has. */
  async #replace(
    item: Item | undefined,
    state: KeptState,
    signal: AbortSignal,
  ): Promise<'replaced' | Item | undefined> {
    const condition =
      item === undefined
        ? { ConditionExpression: 'attribute_not_exists(jobId)' }
        : {
            ConditionExpression: 'writeId = :judged',
            ExpressionAttributeValues: { ':judged': item['writeId'] },
          }
    try {
      await this.#client.ask(
        'PutItem',
        {
          TableName: this.#client.table,
          Item: itemOf(this.#store, state),
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          ...condition,
        },
        signal,
      )
      return 'replaced'
    } catch (error) {
      if (!(error instanceof DynamoError)) throw error
      if (isTooLarge(error)) throw tooLarge(state, error)
      if (error.kind !== 'ConditionalCheckFailedException') throw error
      return error.item
    }
  }

  /** The items of keys, in their order. */
  async #items(
    keys: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly (Item | undefined)[]> {
    const { table } = this.#client
    const ids = keys.map((key) => idOf(this.#store, key))
    const found = new Map<string, Item>()
    let wanted = [...new Set(ids)]
    let pause = firstPause
    while (wanted.length > 0) {
      signal.throwIfAborted()
      const some = wanted.slice(0, mostRead)
      const Keys = some.map((id) => ({ jobId: { S: id } }))
      const answer = await this.#client.ask<{
        readonly Responses?: Readonly<Record<string, readonly Item[]>>
        readonly UnprocessedKeys?: Readonly<
          Record<string, { readonly Keys: readonly { readonly jobId: { readonly S: string } }[] }>
        >
      }>('BatchGetItem', { RequestItems: { [table]: { Keys, ConsistentRead: true } } }, signal)
      for (const item of answer.Responses?.[table] ?? []) {
        const id = item['jobId']
        if (id !== undefined && 'S' in id) found.set(id.S, item)
      }
      const left = answer.UnprocessedKeys?.[table]?.Keys.map(({ jobId }) => jobId.S) ?? []
      // None of them was read: the table is throttled.
      if (left.length === some.length) {
        throw new DynamoError('ThrottlingException', 400, 'no key was read')
      }
      wanted = [...wanted.slice(mostRead), ...left]
      if (left.length === 0) continue
      await wait(pause * (0.5 + Math.random()), undefined, { signal })
      pause = Math.min(2 * pause, longestPause)
    }
    return ids.map((id) => found.get(id))
  }

  #partsOf(filter: StateFilter): readonly Part[] {
    const statuses = statusesOf(filter)
    if (statuses !== undefined) {
      return [...new Set(statuses)].map((status) => ({
        index: byStatus,
        attribute: 'status',
        value: statusOf(this.#store, status),
      }))
    }
    return Array.from({ length: shards }, (_, shard) => ({
      index: byShard,
      attribute: 'shard',
      value: `${this.#store} ${shard}`,
    }))
  }

  /** The states of one part of an index, those created last first; within a millisecond in any order. */
  async *#query(
    { index, attribute, value }: Part,
    filter: StateFilter,
    place: Place | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<KeptState> {
    const from = filter.createdFrom?.getTime() ?? 0
    const before = filter.createdBefore?.getTime() ?? Infinity
    const until = Math.min(before - 1, place?.createdAt ?? Infinity, 8.64e15)
    if (until < from) return
    for (let start: Item | undefined; ;) {
      const answer = await this.#client.ask<{
        readonly Items: readonly Item[]
        readonly LastEvaluatedKey?: Item
      }>(
        'Query',
        {
          TableName: this.#client.table,
          IndexName: index,
          KeyConditionExpression: '#part = :part AND createdAt BETWEEN :from AND :until',
          ExpressionAttributeNames: { '#part': attribute },
          ExpressionAttributeValues: {
            ':part': { S: value },
            ':from': { N: String(from) },
            ':until': { N: String(until) },
          },
          ScanIndexForward: false,
          Limit: leastExamined,
          ...(start === undefined ? {} : { ExclusiveStartKey: start }),
        },
        signal,
      )
      const now = Date.now()
      for (const item of answer.Items) {
        if (!isOfStore(item)) continue
        const state = stateOf(this.#store, item, now)
        if (state !== undefined) yield state
      }
      if (answer.LastEvaluatedKey === undefined) return
      start = answer.LastEvaluatedKey
    }
  }
}

function isTooLarge({ kind, message }: DynamoError): boolean {
  return kind === 'ValidationException' && message.includes('Item size')
}

/** Fields, too, take their room, and some characters of theirs take six. */
function tooLarge({ key }: KeptState, cause: DynamoError): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_STATE_TOO_LARGE',
    `"${key}" has more than the 400 KiB of an item, with its fields: ${cause.message}`,
    { details: { backend: 'dynamodb', key }, cause },
  )
}

/** Some of an index. */
interface Part {
  readonly index: string
  readonly attribute: string
  readonly value: string
}

/** Puts several lists together; states of one millisecond come as one group. */
async function* merged(
  lists: readonly AsyncGenerator<KeptState>[],
): AsyncGenerator<readonly KeptState[]> {
  const heads = await Promise.all(lists.map((list) => list.next()))
  for (;;) {
    const times = heads.flatMap(({ done, value }) => (done === true ? [] : [value.createdAt]))
    if (times.length === 0) return
    const time = Math.max(...times)
    const group: KeptState[] = []
    for (const [index, list] of lists.entries()) {
      for (let head = heads[index]; head?.done === false && head.value.createdAt === time;) {
        group.push(head.value)
        head = heads[index] = await list.next()
      }
    }
    yield group
  }
}
