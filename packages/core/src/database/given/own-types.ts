import pg from 'pg'
import { parseStoredJson } from '../json-text.ts'

type Parser = (text: string) => unknown

const asIs: Parser = (text) => text
const bool: Parser = (text) => text === 't'

// By the type of the element, the type of an array of them: the numbers are the same in every server.
const scalars: readonly (readonly [type: number, array: number, parser: Parser])[] = [
  [16, 1000, bool],
  [18, 1002, asIs],
  [19, 1003, asIs],
  // int8 as a text: what it counts may be more than a number holds.
  [20, 1016, asIs],
  [21, 1005, Number],
  [23, 1007, Number],
  [25, 1009, asIs],
  [26, 1028, Number],
  [114, 199, parseStoredJson],
  [700, 1021, Number],
  [701, 1022, Number],
  [1043, 1015, asIs],
  [1184, 1185, pointInTime],
  [1700, 1231, asIs],
  [2950, 2951, asIs],
  [3802, 3807, parseStoredJson],
]

const parsers = new Map<number, Parser>(
  scalars.flatMap(([type, array, parser]) => [
    [type, parser],
    [array, (text: string) => arrays.create(text, parser).parse()],
  ]),
)

/**
 * How the answers of Tidemark's own statements are read: as node-postgres does by default, whatever parsers the
 * application has set for its own, on a pool that it has given or for all of them.
 */
export const ownTypes: pg.CustomTypesConfig = {
  getTypeParser: ((type: number) => parsers.get(type) ?? asIs) as never,
}

// Older than its type definitions.
const arrays = pg.types.arrayParser as unknown as {
  create(text: string, parser: Parser): { parse(): unknown[] }
}

/** Postgres leaves the minutes of a whole hour's offset out, which Date does not understand. */
function pointInTime(text: string): unknown {
  const iso = /^(?<day>\d{4}-\d\d-\d\d) (?<time>[\d:.]+)(?<offset>[+-]\d\d)(?<minutes>:\d\d)?$/u
  const { day, time, offset, minutes = ':00' } = iso.exec(text)?.groups ?? {}
  return day === undefined ? unusualPoint(text) : new Date(`${day}T${time}${offset}${minutes}`)
}

const unusual =
  /^(?<year>\d+)-(?<month>\d+)-(?<day>\d+) (?<h>\d+):(?<m>\d+):(?<s>[\d.]+)(?<sign>[+-])(?<oh>\d+)(?::(?<om>\d+))?(?::(?<os>\d+))?(?<bc> BC)?$/u

/** No end, years that are not four digits long, before Christ, and the local times of long ago. */
function unusualPoint(text: string): unknown {
  if (text.endsWith('infinity')) {
    return text.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }
  const parts = unusual.exec(text)?.groups
  if (parts === undefined) return null
  const number = (name: string): number => Number(parts[name] ?? 0)
  const seconds = number('h') * 3600 + number('m') * 60 + number('s')
  const offset = number('oh') * 3600 + number('om') * 60 + number('os')
  const point = new Date(0)
  // There was no year zero.
  const year = parts['bc'] === undefined ? number('year') : 1 - number('year')
  point.setUTCFullYear(year, number('month') - 1, number('day'))
  const shift = parts['sign'] === '-' ? offset : -offset
  return new Date(point.getTime() + Math.trunc((seconds + shift) * 1000))
}
