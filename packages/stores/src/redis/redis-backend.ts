import type {
  ListQuery,
  StateBackend,
  StoredPage,
  StoredState,
  Write,
  WriteOutcome,
} from '../backend/backend.ts'
import { eventsFrom } from '../backend/events-from.ts'
import { keptUnder } from '../backend/kept.ts'
import { matches, statusesOf } from '../backend/matches.ts'
import { inOrder, placeOf, placeText } from '../backend/place.ts'
import type { StateEvent, WatchOptions } from '../contract/watch.ts'
import { send, subscribe, type RedisClient } from './client.ts'
import { listScript, readScript, runScript, sweepScript, writeScript } from './scripts.ts'

/** A hash for each state, and sorted sets of their keys by time. Scripts judge and write: nothing comes between. */
export class RedisBackend implements StateBackend {
  readonly name = 'redis'
  readonly mostBytes: number = 16 * 1024 * 1024
  readonly #client: RedisClient
  readonly #states: string
  readonly #byStatus: string
  readonly #all: string
  readonly #ending: string
  readonly #channel: string

  /** @param prefix - what all keys begin with. In braces it is what a cluster places them by, all in one slot. */
  constructor(client: RedisClient, prefix: string) {
    this.#client = client
    this.#states = `{${prefix}}:state:`
    this.#byStatus = `{${prefix}}:status:`
    this.#all = `{${prefix}}:created`
    this.#ending = `{${prefix}}:ending`
    this.#channel = `{${prefix}}:changes`
  }

  async write(write: Write): Promise<WriteOutcome> {
    const { key, op, fields, ttl } = write
    const answer = await runScript(
      this.#client,
      writeScript,
      [this.#states + key, this.#all, this.#ending, this.#byStatus],
      [
        key,
        op,
        write.writeId,
        String(write.token),
        write.ifVersion === undefined ? '' : String(write.ifVersion),
        String(write.remember),
        this.#channel,
        given(write.body),
        given(write.name),
        given(write.status),
        given(fields === undefined ? undefined : JSON.stringify(fields)),
        given(ttl),
      ],
    )
    const [outcome, live, values] = answer as [unknown, unknown, Values]
    const is = String(outcome) as WriteOutcome['is']
    const state = stateOf(key, values, isOne(live))
    return state === undefined ? { is: 'missing', state } : { is, state }
  }

  async read(keys: readonly string[]): Promise<readonly (StoredState | undefined)[]> {
    const states = keys.map((key) => this.#states + key)
    const answer = await runScript(this.#client, readScript, states, [])
    return (answer as ([unknown, Values] | null)[]).map((found, index) =>
      found === null ? undefined : stateOf(keys[index] as string, found[1], isOne(found[0])),
    )
  }

  async list({ filter, limit, after }: ListQuery): Promise<StoredPage> {
    const place = after === undefined ? undefined : placeOf(after)
    const before = filter.createdBefore?.getTime()
    // Before a time is at the latest a millisecond earlier, unless the page begins even before that.
    const latest = Math.min(
      place?.createdAt ?? Infinity,
      before === undefined ? Infinity : before - 1,
    )
    const args = [
      String(limit),
      latest === Infinity ? '' : String(latest),
      filter.createdFrom === undefined ? '' : String(filter.createdFrom.getTime()),
      place !== undefined && place.createdAt === latest ? place.key : '',
    ]
    const statuses: readonly (string | undefined)[] = statusesOf(filter) ?? [undefined]
    const pages = await Promise.all(
      statuses.map(async (status) => {
        const index = status === undefined ? this.#all : this.#byStatus + status
        const found = await runScript(
          this.#client,
          listScript,
          [index, this.#states],
          [...args, status ?? ''],
        )
        return (found as [unknown, Values][]).map(
          ([key, values]) => stateOf(String(key), values, true) as StoredState,
        )
      }),
    )
    const candidates = pages.flat().toSorted(inOrder)
    const page = candidates.slice(0, limit)
    const last = page.at(-1)
    const more = candidates.length > limit || pages.some(({ length }) => length === limit)
    return {
      // A status may have changed between one index and the next.
      states: unrepeated(page).filter((state) => matches(state, filter)),
      next: more && last !== undefined ? placeText(last) : null,
    }
  }

  async ping(): Promise<void> {
    await send(this.#client, 'PING')
  }

  async sweep(): Promise<number> {
    const keys = [this.#ending, this.#all, this.#states, this.#byStatus]
    return Number(await runScript(this.#client, sweepScript, keys, []))
  }

  watch({ signal }: WatchOptions): Promise<AsyncIterable<StateEvent>> {
    return eventsFrom(signal, (told) =>
      subscribe(this.#client, this.#channel, (message) => {
        const [, is, version, key] = /^(written|deleted) (\d+) (.*)$/su.exec(message) ?? []
        if (key === undefined) return
        told({ is: is as StateEvent['is'], key, version: Number(version) })
      }),
    )
  }

  isTransient(error: unknown): boolean {
    // What a server says of a command begins with a word in capitals; what else is thrown is about the connection.
    const message = error instanceof Error ? error.message : ''
    // Before 7.0 a server says of a script that it has failed, and behind a dash what with: -READONLY, say, or -OOM.
    const [, within] = /^ERR Error running script.* -([A-Z]+\b.*)/su.exec(message) ?? []
    const said = within ?? message
    if (said.startsWith('ERR max number of clients')) return true
    return !/^(?:ERR|WRONGTYPE|NOPERM|NOAUTH|WRONGPASS|NOPROTO|EXECABORT|CROSSSLOT)\b/u.test(said)
  }

  async close(): Promise<void> {
    // The client is the caller's.
  }
}

// Clients differ in what they make of an answer: texts or bytes, numbers or texts of them.
type Values = readonly (string | Buffer | number | null)[]

function isOne(answer: unknown): boolean {
  return Number(answer) === 1
}

/** As the scripts read it: '' not given, '-' null, '=' and the value. */
function given(value: string | number | null | undefined): string {
  if (value === undefined) return ''
  return value === null ? '-' : `=${value}`
}

function unrepeated(states: readonly StoredState[]): StoredState[] {
  return [...new Map(states.map((state) => [state.key, state])).values()]
}

/** In the order of `fields` in the scripts. */
function stateOf(key: string, values: Values, live: boolean): StoredState | undefined {
  const [version, token, writeId, createdAt, updatedAt, expiresAt, name, status, fields, body] =
    values.map((value) => (value === null ? null : String(value)))
  if (version === null || version === undefined) return undefined
  return {
    key,
    body: body ?? null,
    version: Number(version),
    token: keptUnder('redis', key, () => BigInt(token ?? 0)),
    writeId: writeId ?? '',
    name: name ?? null,
    status: status ?? null,
    fields: keptUnder('redis', key, () => JSON.parse(fields ?? '{}') as StoredState['fields']),
    createdAt: Number(createdAt),
    updatedAt: Number(updatedAt),
    expiresAt: expiresAt === null || expiresAt === undefined ? null : Number(expiresAt),
    live,
  }
}
