import { isTidemarkError, rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { ListOptions, NewState, StateChange, WriteOptions } from '../../contract/state.ts'
import type { SyncEntry, SyncOptions } from '../../contract/sync.ts'
import { changeOf, newStateOf, type WireChange } from './wire-job.ts'

/** What a client asks for. */
export type StateRequest =
  | {
      readonly op: 'create' | 'put'
      readonly key: string
      readonly state: NewState
      readonly options: WriteOptions
    }
  | {
      readonly op: 'update'
      readonly key: string
      readonly change: StateChange
      readonly options: WriteOptions
    }
  | { readonly op: 'delete'; readonly key: string; readonly options: WriteOptions }
  | { readonly op: 'get'; readonly key: string }
  | { readonly op: 'list'; readonly options: ListOptions }
  | { readonly op: 'sync'; readonly entries: readonly SyncEntry[]; readonly options: SyncOptions }
  | { readonly op: 'health' }

/** What names a request in its answer. */
export type RequestId = string | number | null

type Message = Readonly<Record<string, unknown>>

const always = ['op', 'requestId', 'timestamp']
const writing = ['token', 'ifVersion', 'writeId']
const taken: Readonly<Record<StateRequest['op'], readonly string[]>> = {
  create: [...always, 'jobId', 'job', ...writing],
  put: [...always, 'jobId', 'job', ...writing],
  update: [...always, 'jobId', 'job', ...writing],
  delete: [...always, 'jobId', ...writing],
  get: [...always, 'jobId'],
  list: [...always, 'filter'],
  sync: [...always, 'jobs', 'filter', 'write', 'remove'],
  health: always,
}
const ops = Object.keys(taken)

/** Of a line that is no request. */
export function invalidRequest(problem: string, cause?: unknown): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_STATE_REQUEST_INVALID',
    problem,
    cause === undefined ? {} : { cause },
  )
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** @throws TidemarkError TIDEMARK_STATE_REQUEST_INVALID. */
export function messageOf(line: Uint8Array): Message {
  let read: unknown
  try {
    const text = utf8.decode(line)
    read = mayHoldOther.test(text) ? JSON.parse(text, sameNumber) : JSON.parse(text)
  } catch (cause) {
    if (isTidemarkError(cause)) throw cause
    throw invalidRequest('the line is not JSON in UTF-8', cause)
  }
  return objectOf('the line', read)
}

// A number of so many digits, or with such an exponent, may be another one here than where it was written.
const mayHoldOther = /\d{16}|[eE]\+?\d{3}/u

// Node hands its text to revivers; its type definitions do not know it yet.
const sameNumber = ((_: string, value: unknown, { source = '' }: { source?: string }): unknown => {
  if (typeof value !== 'number' || String(value) === source) return value
  const isSame = /^-?\d+$/u.test(source)
    ? Number.isFinite(value) && BigInt(value) === BigInt(source)
    : Number.isFinite(value)
  if (isSame) return value
  throw invalidRequest(`the number ${source} would come back as ${value}: send it as a text`)
}) as unknown as Parameters<typeof JSON.parse>[1]

/** What names the request, as far as it can: also of one that is refused. */
export function requestIdOf({ requestId }: Message): RequestId {
  // A larger number would come back as another one.
  if (Number.isSafeInteger(requestId)) return requestId as number
  return typeof requestId === 'string' && requestId.length <= 256 ? requestId : null
}

/** @throws TidemarkError TIDEMARK_STATE_REQUEST_INVALID or TIDEMARK_INVALID_OPTION. */
export function requestOf(message: Message): StateRequest {
  const { op, requestId, timestamp } = message
  if (typeof op !== 'string' || !ops.includes(op)) {
    throw invalidRequest(`"op" must be one of ${ops.join(', ')}`)
  }
  const known = op as StateRequest['op']
  rejectUnknownOptions(known, message, taken[known])
  if (requestId !== undefined && requestId !== null && requestIdOf(message) === null) {
    throw invalidRequest(
      '"requestId" must be a text of at most 256 characters or a whole number below 2^53',
    )
  }
  if (!['undefined', 'number', 'string'].includes(typeof timestamp)) {
    throw invalidRequest('"timestamp" must be a text or a number')
  }
  const key = message['jobId'] as string
  switch (known) {
    case 'create':
    case 'put':
      return { op: known, key, state: newStateOf(jobOf(message)), options: optionsOf(message) }
    case 'update':
      return { op: known, key, change: changeOf(jobOf(message)), options: optionsOf(message) }
    case 'delete':
      return { op: known, key, options: optionsOf(message) }
    case 'get':
      return { op: known, key }
    case 'list':
      return { op: known, options: filterOf(message['filter']) }
    case 'sync':
      return { op: known, entries: entriesOf(message['jobs']), options: syncOptionsOf(message) }
    case 'health':
      return { op: known }
  }
}

function objectOf(what: string, value: unknown): Message {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Message
  throw invalidRequest(`${what} must be a JSON object`)
}

const jobFields = ['value', 'meta', 'name', 'status', 'fields', 'ttl']

function jobOf({ op, job = {} }: Message): WireChange {
  const given = objectOf('"job"', job)
  rejectUnknownOptions(String(op), given, jobFields)
  return given
}

/** What is not given stays away; the store checks the rest. */
function optionsOf({ token, ifVersion, writeId }: Message): WriteOptions {
  return {
    ...(token === undefined ? {} : { token: tokenOf(token) }),
    ...(ifVersion === undefined ? {} : { ifVersion: ifVersion as number }),
    ...(writeId === undefined ? {} : { writeId: writeId as string }),
  }
}

function tokenOf(token: unknown): bigint {
  if (Number.isSafeInteger(token)) return BigInt(token as number)
  if (typeof token === 'string' && /^\d{1,19}$/u.test(token)) return BigInt(token)
  throw invalidRequest('"token" must be a whole number, as a text where it is large')
}

const times = new Set(['createdFrom', 'createdBefore', 'updatedFrom', 'updatedBefore'])

/** Times come as texts or milliseconds. */
function filterOf(filter: unknown = {}): ListOptions {
  const given = objectOf('"filter"', filter)
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => [
      name,
      times.has(name) && (typeof value === 'string' || typeof value === 'number')
        ? new Date(value)
        : value,
    ]),
  )
}

function entriesOf(jobs: unknown): SyncEntry[] {
  if (!Array.isArray(jobs)) throw invalidRequest('"jobs" must be a list')
  return jobs.map((job) => {
    const entry = objectOf('each of "jobs"', job)
    const { jobId, version, token, ...rest } = entry
    rejectUnknownOptions('sync', rest, jobFields)
    if (version !== undefined && !Number.isSafeInteger(version)) {
      throw invalidRequest('"version" must be a whole number')
    }
    return {
      key: jobId as string,
      ...(version === undefined ? {} : { version: version as number }),
      ...(token === undefined ? {} : { token: tokenOf(token) }),
      ...(Object.hasOwn(rest, 'value') ? { state: newStateOf(rest) } : {}),
    }
  })
}

function syncOptionsOf({ filter, write, remove }: Message): SyncOptions {
  for (const [name, value] of Object.entries({ write, remove })) {
    if (!['undefined', 'boolean'].includes(typeof value)) {
      throw invalidRequest(`"${name}" must be true or false`)
    }
  }
  return {
    filter: filterOf(filter),
    write: write === true,
    remove: remove === true,
  }
}
