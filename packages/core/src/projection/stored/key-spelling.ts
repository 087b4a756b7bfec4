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

/** Whether a key is what the server answers for the column that it was written to, as JSON has it. */
export function isSpelled(key: string, answer: string): boolean {
  if (key === answer) return true
  // Of a point in time JavaScript's spelling is as good as the server's: there is one of each.
  const time = Date.parse(answer)
  return (
    !Number.isNaN(time) && /^\d{4}-\d\d-\d\dT/u.test(key) && new Date(time).toISOString() === key
  )
}
