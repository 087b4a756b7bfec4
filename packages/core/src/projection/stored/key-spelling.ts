/** A value as one column of a type spells it; undefined for a type whose spellings only the server knows. */
export function canonicalKey(type: string | undefined, key: string): string {
  switch (type) {
    case 'uuid':
      return canonicalUuid(key)
    case 'smallint':
    case 'integer':
    case 'bigint':
      return /^\s*[+-]?\d+\s*$/u.test(key) ? BigInt(key.trim().replace('+', '')).toString() : key
    default:
      return key
  }
}

// Postgres takes upper case, braces and hyphens between any groups of four.
function canonicalUuid(key: string): string {
  const digits = key
    .trim()
    .replaceAll(/^\{|\}$|-/gu, '')
    .toLowerCase()
  if (!/^[\da-f]{32}$/u.test(digits)) return key
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})/u, '$1-$2-$3-$4-')
}

/**
 * The key that a row of a column of a type belongs to.
 *
 * INVARIANT: of all the texts that one value can be written as, it is one: another would be another state of the same row.
 *
 * @param answer - how the server spells the value, as JSON has it.
 */
export function spellingOf(type: string | undefined, answer: string): string {
  // A point in time is spelled as JavaScript does, where it can: how the server does depends on the session's zone.
  return isTimestamp(type) ? (inJavaScript(answer) ?? answer) : answer
}

const isTimestamp = (type: string | undefined): boolean => type?.startsWith('timestamp') === true

/** Undefined for what has microseconds, or is beyond what a Date holds. */
function inJavaScript(answer: string): string | undefined {
  if (!/^\d{4}-\d\d-\d\dT[\d:]{8}(?:\.\d{1,3})?(?:[+-]\d\d:\d\d)?$/u.test(answer)) return undefined
  const time = Date.parse(
    answer.includes('+', 19) || answer.includes('-', 19) ? answer : `${answer}Z`,
  )
  return Number.isNaN(time) ? undefined : new Date(time).toISOString()
}
