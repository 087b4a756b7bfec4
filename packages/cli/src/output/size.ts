const units = ['B', 'kB', 'MB', 'GB', 'TB'] as const

/** A size in bytes, for people: `8.2 MB`. */
export function sizeOf(bytes: bigint): string {
  let value = Number(bytes)
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}
