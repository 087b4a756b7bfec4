import type { Database } from '../../database/pool.ts'
import { requireText } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'

/** A stream, and how many events were appended to it. */
export interface StreamSummary {
  readonly stream: string
  readonly version: bigint
}

/** Which streams to list. */
export interface StreamPage {
  /** Only streams whose names begin with this. */
  readonly prefix?: string
  /** Only streams after this one. Defaults to the first. */
  readonly after?: string
  /** The most. Defaults to 100. */
  readonly limit?: number
}

/** A page of streams, by name. */
export async function listStreams(
  database: Database,
  schema: string,
  page: StreamPage,
): Promise<StreamSummary[]> {
  const where = 'outbox.streams'
  rejectUnknownOptions(where, page, ['prefix', 'after', 'limit'])
  const { prefix = '', after, limit = 100 } = page
  requireText(where, 'prefix', prefix, { least: 0 })
  if (after !== undefined) requireText(where, 'after', after, { least: 0 })
  requireWhole(where, 'limit', limit, 1, 10_000)
  // What begins with a prefix follows it in every collation, and mostly at once: not more than some thousands of names
  // are looked at, however many streams there are.
  const { rows } = await database.query(
    `SELECT stream, version FROM (
       SELECT stream, version FROM "${schema}".streams
       WHERE ($1::text IS NULL OR stream > $1::text) AND stream >= $2::text
       ORDER BY stream LIMIT greatest($3::integer, CASE WHEN $2::text = '' THEN 0 ELSE 10000 END)) AS s
     WHERE starts_with(stream, $2::text)
     ORDER BY stream LIMIT $3::integer`,
    [after ?? null, prefix, limit],
  )
  return rows.map((row) => ({
    stream: row['stream'] as string,
    version: BigInt(row['version'] as string),
  }))
}
