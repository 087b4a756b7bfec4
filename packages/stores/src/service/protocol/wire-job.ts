import { decodeValue, encodeValue } from 'tidemark'
import type {
  FieldValue,
  NewState,
  State,
  StateChange,
  UnreadableState,
} from '../../contract/state.ts'
import { notStorable } from '../../opened/encoded.ts'

/** What a request says of a state. */
export interface WireChange {
  /** Any JSON; null when it is left out of a creation. */
  readonly value?: unknown
  /** superjson's notes on what JSON cannot say: Date, bigint, Map. Clients in other languages leave it out. */
  readonly meta?: unknown
  readonly name?: string | null
  readonly status?: string | null
  readonly fields?: Readonly<Record<string, FieldValue>>
  /** In milliseconds. */
  readonly ttl?: number | null
}

/** A state as an answer says it. */
export interface WireJob {
  readonly jobId: string
  readonly value: unknown
  readonly meta?: unknown
  readonly version: number
  /** A decimal number as a text: it may be larger than a number of JSON can be everywhere. */
  readonly token: string
  readonly name: string | null
  readonly status: string | null
  readonly fields: Readonly<Record<string, FieldValue>>
  /** Times as ISO 8601. */
  readonly createdAt: string
  readonly updatedAt: string
  readonly expiresAt: string | null
}

/** A state whose value cannot be read, as an answer says it. */
export interface WireUnreadable {
  readonly jobId: string
  readonly version: number
  readonly token: string
  readonly problem: string
}

/** As a text of JSON. */
export function unreadableText({ key, version, token, problem }: UnreadableState): string {
  const job: WireUnreadable = { jobId: key, version, token: String(token), problem }
  return JSON.stringify(job)
}

/** As the client has it. */
export function unreadableOf({ jobId, token, ...rest }: WireUnreadable): UnreadableState {
  return { ...rest, key: jobId, token: BigInt(token) }
}

/** As a text of JSON. */
export function jobText(state: State): string {
  const { key, value, version, token, name, status, fields, createdAt, updatedAt } = state
  const { json, meta } = encodeValue(`the value of "${key}"`, value)
  const rest = JSON.stringify({
    version,
    token: String(token),
    name,
    status,
    fields,
    createdAt,
    updatedAt,
    expiresAt: state.expiresAt,
  })
  const notes = meta === null ? '' : `"meta":${meta},`
  // The value is a text already: it is not read to be written again.
  return `{"jobId":${JSON.stringify(key)},"value":${json},${notes}${rest.slice(1)}`
}

/** A state as the client has it. */
export function stateOf<Value>(job: WireJob): State<Value> {
  const { jobId, value, meta, version, token, name, status, fields, expiresAt } = job
  return {
    key: jobId,
    value: decodeValue(value, meta) as Value,
    version,
    token: BigInt(token),
    name,
    status,
    fields,
    createdAt: new Date(job.createdAt),
    updatedAt: new Date(job.updatedAt),
    expiresAt: expiresAt === null ? null : new Date(expiresAt),
  }
}

/** What a request asks for, as the contract takes it. */
export function changeOf({ value, meta, ...rest }: WireChange): StateChange {
  return value === undefined ? rest : { ...rest, value: decodeValue(value, meta) }
}

/** The same for a whole state. */
export function newStateOf(job: WireChange): NewState {
  return { value: null, ...changeOf(job) }
}

/**
 * What the client asks for, as a text of JSON.
 *
 * @throws TidemarkError TIDEMARK_PAYLOAD_NOT_STORABLE.
 */
export function changeText(key: string, change: StateChange): string {
  const { value, ...rest } = change
  if (!Object.hasOwn(change, 'value')) return JSON.stringify(rest)
  const { json, meta } = encoded(key, value)
  const others = JSON.stringify(rest).slice(1)
  return `{"value":${json}${meta === null ? '' : `,"meta":${meta}`}${others === '}' ? '' : ','}${others}`
}

function encoded(key: string, value: unknown): ReturnType<typeof encodeValue> {
  try {
    return encodeValue(`the value of "${key}"`, value)
  } catch (cause) {
    throw notStorable(key, cause)
  }
}
