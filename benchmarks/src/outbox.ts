import type { TestDatabase } from '@tidemark/testing'
import type { App, EventDraft } from 'tidemark'

const batch = 1000

/** Fills the outbox and lets the server know its new size; answers the last sequence. */
export async function fill(
  app: App,
  database: TestDatabase,
  count: number,
  draft: (n: number) => EventDraft,
): Promise<bigint> {
  let last = 0n
  for (let start = 0; start < count; start += batch) {
    const size = Math.min(batch, count - start)
    const published = await app.publish(Array.from({ length: size }, (_, i) => draft(start + i)))
    last = published.at(-1)?.sequence ?? last
  }
  await database.query('VACUUM ANALYZE tidemark.events')
  return last
}

// What the library reads of an event.
const columns = `sequence, id, type, version, stream, stream_version, key, payload, payload_meta,
  correlation_id, causation_id, traceparent, tracestate, metadata, recorded_at`

/**
 * The limit of reading: the driver fetches the same rows, in pages of one prepared statement, and does nothing
 * with them.
 *
 * @returns events a second.
 */
export async function driverReadRate(
  database: TestDatabase,
  events: { readonly after: bigint; readonly upTo: bigint; readonly page: number },
): Promise<number> {
  const client = await database.connect()
  const started = performance.now()
  let { after } = events
  let rows = 0
  while (after < events.upTo) {
    const page = await client.query<{ sequence: string }>({
      name: 'bench_read_page',
      text: `SELECT ${columns} FROM tidemark.events
        WHERE sequence > $1::bigint AND sequence <= $2::bigint ORDER BY sequence LIMIT $3::integer`,
      values: [after, events.upTo, events.page],
    })
    rows += page.rows.length
    const last = page.rows.at(-1)
    if (last === undefined) break
    after = BigInt(last.sequence)
  }
  const rate = rows / ((performance.now() - started) / 1000)
  await client.end()
  return rate
}

/**
 * How many rows of the outbox were read so far, by the server's count. A session reports what it read before it goes,
 * so this waits until all but the database's own pool have gone.
 */
export async function rowsRead(database: TestDatabase): Promise<number> {
  for (;;) {
    const { rows } = await database.query<{ sessions: number }>(`
      SELECT count(*)::integer AS sessions FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend'
        AND application_name <> 'tidemark test pool'`)
    if (rows[0]?.sessions === 0) break
  }
  const { rows } = await database.query<{ read: string }>(`
    SELECT coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0) AS read
    FROM pg_stat_user_tables WHERE schemaname = 'tidemark' AND relname LIKE 'events%'`)
  return Number(rows[0]?.read)
}
