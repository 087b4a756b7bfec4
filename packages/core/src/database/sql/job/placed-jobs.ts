const first = `'00000000-0000-0000-0000-000000000000'`
const last = `'ffffffff-ffff-ffff-ffff-ffffffffffff'`

/** Which of the jobs of a type that have a status; all are SQL. */
export interface Placed {
  readonly name: string
  readonly status: string
  /** The ids between which they are, with these. Defaults to all. */
  readonly from?: string
  readonly to?: string
}

/**
 * The condition that finds them among the jobs `j` along the index for lists. Those that run are not in it: they are found by
 * their process.
 *
 * Bounds of rows instead of equality: otherwise the planner, which knows no type here, may as well go along all ids.
 */
export function isPlaced(
  schema: string,
  { name, status, from = first, to = last }: Placed,
): string {
  const place = `${schema}.job_place(${name}, ${status})`
  const row = `(${placeOf(schema)}, j.id)`
  return `(j.status <> 'running' OR j.process IS NULL) AND j.name = ${name} AND j.status = ${status}
    AND ${row} >= (${place}, ${from}::uuid) AND ${row} <= (${place}, ${to}::uuid)`
}

/** The order of their ids, as the index has it. */
export function inPlace(schema: string, direction: 'ASC' | 'DESC' = 'ASC'): string {
  return `${placeOf(schema)} ${direction}, j.id ${direction}`
}

function placeOf(schema: string): string {
  return `${schema}.job_place(j.name, j.status)`
}
