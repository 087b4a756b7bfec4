import pg from 'pg'

const parsers = new Map<number, (text: string) => unknown>([
  [16, (text) => text === 't'],
  // int8 as a text: what it counts may be more than a number holds.
  [20, (text) => text],
  [21, Number],
  [23, Number],
  [26, Number],
  [114, (text) => JSON.parse(text)],
  [700, Number],
  [701, Number],
  [1184, pointInTime],
  [1700, (text) => text],
  [3802, (text) => JSON.parse(text)],
])

/**
 * How the answers of Tidemark's own statements are read: as node-postgres does by default, whatever parsers the
 * application has set for its own, on a pool that it has given or for all of them.
 */
export const ownTypes: pg.CustomTypesConfig = {
  getTypeParser: ((type: number, format?: 'text') =>
    parsers.get(type) ?? pg.types.getTypeParser(type, format)) as never,
}

/** Postgres leaves the minutes of a whole hour's offset out, which Date does not understand. */
function pointInTime(text: string): unknown {
  const iso = /^(?<day>\d{4}-\d\d-\d\d) (?<time>[\d:.]+)(?<offset>[+-]\d\d)(?<minutes>:\d\d)?$/u
  const { day, time, offset, minutes = ':00' } = iso.exec(text)?.groups ?? {}
  return day === undefined
    ? pg.types.getTypeParser(1184)(text)
    : new Date(`${day}T${time}${offset}${minutes}`)
}
