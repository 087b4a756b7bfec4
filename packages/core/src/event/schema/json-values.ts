const written =
  /^(?<year>\d{4,6})-(?<month>\d\d)-(?<day>\d\d)(?:[T ](?<h>\d\d):(?<m>\d\d)(?::(?<s>\d\d)(?:[.,](?<fraction>\d+))?)?(?<offset> ?Z|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)?)?$/iu

/**
 * The Date of a text as ISO 8601 and Postgres write points in time: `2026-01-31`, `2026-01-31T10:00:00.123456+00:00`,
 * `2026-01-31 10:00:00+01`. Without an offset it is UTC, wherever the program runs. Anything else is answered as it is, a
 * day that the calendar does not have among it.
 */
export function dateFromJson(json: unknown): unknown {
  const parts = typeof json === 'string' ? written.exec(json)?.groups : undefined
  if (parts === undefined) return json
  const number = (name: string): number => Number(parts[name] ?? 0)
  const [year, month, day] = [number('year'), number('month') - 1, number('day')]
  const [hours, minutes, seconds] = [number('h'), number('m'), number('s')]
  // The end of a day is 24:00, and nothing after it.
  const atEnd = hours === 24 && minutes === 0 && seconds === 0 && number('fraction') === 0
  if ((hours > 23 && !atEnd) || minutes > 59 || seconds > 59) return json
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return json
  const milliseconds = Number((parts['fraction'] ?? '').slice(0, 3).padEnd(3, '0'))
  date.setUTCHours(hours, minutes, seconds, milliseconds)
  const point = new Date(date.getTime() - offsetOf(parts['offset'] ?? 'Z'))
  return Number.isNaN(point.getTime()) ? json : point
}

/** In milliseconds. */
function offsetOf(offset: string): number {
  const [, sign, hours, minutes = 0, seconds = 0] =
    /^([+-])(\d\d):?(\d\d)?:?(\d\d)?$/u.exec(offset) ?? []
  const size = Number(hours ?? 0) * 3600 + Number(minutes) * 60 + Number(seconds)
  return (sign === '-' ? -size : size) * 1000
}

interface ListClass {
  readonly BYTES_PER_ELEMENT: number
  new (buffer: ArrayBuffer): ArrayBufferView
  from(list: readonly never[]): ArrayLike<unknown> & ArrayBufferView
}

const listClasses = new Set<unknown>([
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
])

/**
 * An instance of the class that `z.instanceof` was given, of what JSON has for it; what it cannot be made of is answered
 * as it is.
 *
 * @param toBigint - for the elements of lists of bigints.
 */
export function classFromJson(
  made: unknown,
  json: unknown,
  toBigint: (item: unknown) => unknown,
): unknown {
  if (made === Date) return dateFromJson(json)
  if (made === URL) return typeof json === 'string' && URL.canParse(json) ? new URL(json) : json
  const isList = listClasses.has(made)
  if (!isList && made !== Buffer && made !== ArrayBuffer && made !== DataView) return json
  if (typeof json === 'string') {
    const bytes = bytesOf(json)
    return bytes === undefined ? json : (ofBytes(made, bytes) ?? json)
  }
  const list = Array.isArray(json) ? (json as unknown[]) : dataOfBuffer(json)
  if (list === undefined) return json
  if (isList) return ofList(made as ListClass, list, toBigint) ?? json
  const bytes = ofList(Uint8Array, list, toBigint)
  return bytes === undefined ? json : (ofBytes(made, Buffer.from(bytes as Uint8Array)) ?? json)
}

/** Base64 (RFC 4648, also the one for addresses), or hexadecimal digits after `\x`, as Postgres writes bytea. */
function bytesOf(text: string): Buffer | undefined {
  if (text.startsWith(String.raw`\x`)) {
    return /^(?:[\da-f]{2})*$/iu.test(text.slice(2)) ? Buffer.from(text.slice(2), 'hex') : undefined
  }
  // Postgres breaks lines in base64.
  const plain = text.replaceAll(/\s/gu, '').replaceAll('-', '+').replaceAll('_', '/')
  const bytes = Buffer.from(plain, 'base64')
  const without = plain.replace(/={1,2}$/u, '')
  return bytes.toString('base64').replaceAll('=', '') === without ? bytes : undefined
}

function ofBytes(made: unknown, bytes: Buffer): object | undefined {
  if (made === Buffer) return bytes
  // A copy, that nothing else is in: Buffers of this size share one.
  const { buffer } = Uint8Array.from(bytes)
  if (made === ArrayBuffer) return buffer
  if (made === DataView) return new DataView(buffer)
  const List = made as ListClass
  return buffer.byteLength % List.BYTES_PER_ELEMENT === 0 ? new List(buffer) : undefined
}

/** The numbers that `JSON.stringify` makes of a Buffer. */
function dataOfBuffer(json: unknown): readonly unknown[] | undefined {
  if (typeof json !== 'object' || json === null) return undefined
  const { type, data } = json as { type?: unknown; data?: unknown }
  return type === 'Buffer' && Array.isArray(data) ? data : undefined
}

function ofList(
  List: ListClass,
  list: readonly unknown[],
  toBigint: (item: unknown) => unknown,
): ArrayBufferView | undefined {
  const ofBigints = (List as unknown) === BigInt64Array || (List as unknown) === BigUint64Array
  const items = ofBigints ? list.map(toBigint) : list
  if (!items.every((item) => typeof item === (ofBigints ? 'bigint' : 'number'))) return undefined
  const made = List.from(items as never[])
  // What does not fit an element would be another number; one of half the digits is as near as it can be.
  const nearest = (item: unknown): unknown =>
    (List as unknown) === Float32Array ? Math.fround(item as number) : item
  return items.every((item, index) => made[index] === nearest(item)) ? made : undefined
}
