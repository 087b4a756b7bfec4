import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { StateCodec } from '../codec/codec.ts'
import type { BatchWrite } from '../contract/batch.ts'
import type {
  FieldValue,
  ListOptions,
  NewState,
  StateFilter,
  WriteOptions,
} from '../contract/state.ts'
import type { SyncEntry } from '../contract/sync.ts'

const mostToken = 2n ** 63n - 1n
const mostFields = 20
// The years 1 to 9999: what every backend can say.
const earliest = Date.parse('0001-01-01T00:00:00Z')
const latest = Date.parse('9999-12-31T00:00:00Z')
const longestTtl = 100 * 366 * 86_400_000

/** The most bytes of a key, a name or status, and the text of a field. */
const mostBytes = { key: 256, label: 100, field: 256 } as const

/** The error of an option, for every backend. */
export function invalid(where: string, option: string, problem: string): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "${option}" ${problem}`, {
    details: { option },
  })
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function requireText(
  where: string,
  option: string,
  text: unknown,
  most: number,
): asserts text is string {
  if (typeof text !== 'string') throw invalid(where, option, 'must be a text')
  if (text === '') throw invalid(where, option, 'is empty')
  const bytes = Buffer.byteLength(text)
  if (bytes > most) throw invalid(where, option, `has ${bytes} bytes, and may have ${most}`)
  if (text.includes('\0')) throw invalid(where, option, 'holds the character NUL')
  if (!text.isWellFormed()) throw invalid(where, option, 'holds half of a surrogate pair')
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function requireKey(where: string, key: unknown): asserts key is string {
  requireText(where, 'key', key, mostBytes.key)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION unless it is an array of at most so many. */
export function requireArray(
  where: string,
  option: string,
  list: unknown,
  most: number,
): asserts list is readonly unknown[] {
  if (!Array.isArray(list)) throw invalid(where, option, 'must be an array')
  if (list.length > most) throw invalid(where, option, `has more than ${most}`)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function requireCodec(where: string, codec: unknown): asserts codec is StateCodec {
  const { encode, decode, bindsPlace } = (codec ?? {}) as Partial<StateCodec>
  const codes = typeof encode === 'function' && typeof decode === 'function'
  if (codes && typeof bindsPlace === 'boolean') return
  throw invalid(where, 'codec', 'is none: it needs encode, decode and bindsPlace')
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function requireWhole(
  where: string,
  option: string,
  value: unknown,
  least: number,
  most: number,
): asserts value is number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return
  throw invalid(where, option, `must be a whole number from ${least} to ${most}`)
}

const writeOptions = ['token', 'ifVersion', 'writeId'] as const

function requireToken(where: string, token: unknown): asserts token is bigint {
  if (typeof token === 'bigint' && token >= 0n && token <= mostToken) return
  throw invalid(where, 'token', `must be a bigint from 0n to ${mostToken}n`)
}

/** Of one of many writes: a condition that is misspelt must not be passed over. */
export function checkBatchWrite(write: BatchWrite): void {
  const what = { create: 'state', put: 'state', update: 'change', delete: undefined }
  if (typeof write !== 'object' || write === null) {
    throw invalid('batch', 'writes', 'has something that is no write')
  }
  if (!Object.hasOwn(what, write.op)) {
    throw invalid('batch', 'op', 'must be create, put, update or delete')
  }
  const changed = what[write.op]
  const known = ['op', 'key', ...writeOptions, ...(changed === undefined ? [] : [changed])]
  rejectUnknownOptions('batch', write, known)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkSyncEntry(entry: SyncEntry): void {
  rejectUnknownOptions('sync', entry, ['key', 'version', 'token', 'state'])
  const { key, version, token, state } = entry
  requireKey('sync', key)
  if (version !== undefined) requireWhole('sync', 'version', version, 1, Number.MAX_SAFE_INTEGER)
  if (token !== undefined) requireToken('sync', token)
  if (state === undefined) return
  requireValue('sync', state)
  checkState('sync', state)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkWriteOptions(where: string, options: WriteOptions): void {
  rejectUnknownOptions(where, options, writeOptions)
  const { token = 0n, ifVersion = 1, writeId } = options
  requireToken(where, token)
  requireWhole(where, 'ifVersion', ifVersion, 1, Number.MAX_SAFE_INTEGER)
  if (writeId !== undefined) requireText(where, 'writeId', writeId, mostBytes.label)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkState(where: string, state: Partial<NewState>): void {
  if (typeof state !== 'object' || state === null)
    throw invalid(where, 'state', 'must be an object')
  rejectUnknownOptions(where, state, ['value', 'name', 'status', 'fields', 'ttl'])
  const { name = null, status = null, fields = {}, ttl = null } = state
  if (name !== null) requireText(where, 'name', name, mostBytes.label)
  if (status !== null) requireText(where, 'status', status, mostBytes.label)
  if (ttl !== null) requireWhole(where, 'ttl', ttl, 1, longestTtl)
  checkFields(where, fields)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION unless it has a value, which may be undefined. */
export function requireValue(where: string, state: unknown): void {
  if (typeof state === 'object' && state !== null && Object.hasOwn(state, 'value')) return
  throw invalid(where, 'value', 'is missing')
}

/** A bare `-0` is no other field value than `0`: no backend tells them apart. */
export function plainFields(
  fields: Readonly<Record<string, FieldValue>>,
): Readonly<Record<string, FieldValue>> {
  return Object.fromEntries(
    Object.entries(fields).map(([field, value]) => [field, value === 0 ? 0 : value]),
  )
}

function checkFields(where: string, fields: unknown): void {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw invalid(where, 'fields', 'must be an object')
  }
  const entries = Object.entries(fields as Record<string, unknown>)
  if (entries.length > mostFields) throw invalid(where, 'fields', `has more than ${mostFields}`)
  for (const [field, value] of entries) {
    const option = `fields.${field}`
    if (!/^[A-Za-z_][\w.-]{0,63}$/u.test(field) || field === '__proto__') {
      throw invalid(where, option, 'is no name of a field: a letter, then letters, digits, _ . -')
    }
    if (typeof value === 'string') {
      if (value !== '') requireText(where, option, value, mostBytes.field)
    } else if (typeof value !== 'boolean' && !Number.isFinite(value)) {
      throw invalid(where, option, 'must be a text, a finite number or a boolean')
    }
  }
}

const filterOptions = [
  'status',
  'name',
  'fields',
  'createdFrom',
  'createdBefore',
  'updatedFrom',
  'updatedBefore',
] as const

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkFilter(
  where: string,
  filter: StateFilter,
  more: readonly string[] = [],
): void {
  rejectUnknownOptions(where, filter, [...filterOptions, ...more])
  const { status, name, fields = {} } = filter
  for (const one of Array.isArray(status) ? (status as readonly string[]) : [status]) {
    if (one !== undefined) requireText(where, 'status', one, mostBytes.label)
  }
  if (name !== undefined) requireText(where, 'name', name, mostBytes.label)
  checkFields(where, fields)
  for (const option of filterOptions.slice(3) as readonly (keyof StateFilter)[]) {
    const time: unknown = filter[option]
    if (time === undefined) continue
    const at =
      Object.prototype.toString.call(time) === '[object Date]'
        ? (time as Date).getTime()
        : Number.NaN
    if (!(at >= earliest && at <= latest)) {
      throw invalid(where, option, 'must be a Date of a year from 1 to 9999')
    }
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkListOptions(options: ListOptions): void {
  checkFilter('list', options, ['limit', 'after', 'onUnreadable'])
  const { limit = 1, after = '' } = options
  requireWhole('list', 'limit', limit, 1, 1_000)
  if (typeof after !== 'string') throw invalid('list', 'after', 'must be a text')
  checkOnUnreadable('list', options)
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkOnUnreadable(
  where: string,
  { onUnreadable = 'throw' }: Pick<ListOptions, 'onUnreadable'>,
): void {
  if (onUnreadable === 'throw' || onUnreadable === 'skip') return
  throw invalid(where, 'onUnreadable', "must be 'throw' or 'skip'")
}
