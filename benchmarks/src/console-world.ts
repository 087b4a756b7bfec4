import type { TestDatabase } from '@tidemark/testing'
import {
  defineApp,
  defineEvent,
  defineJob,
  defineListener,
  defineProjection,
  type App,
} from 'tidemark'
import { z } from 'zod'

const placed = defineEvent('orders.placed', { payload: z.object({ order: z.string() }) })
const paid = defineEvent('orders.paid', { payload: z.object({ order: z.string() }) })
const shipped = defineEvent('orders.shipped', { payload: z.object({ order: z.string() }) })
const rare = defineEvent('orders.disputed', { payload: z.object({ order: z.string() }) })
const all = [placed, paid, shipped, rare]
const byOrder = {
  key: (event: { readonly payload: { readonly order: string } }): string => event.payload.order,
}

/** An application whose rows are made by SQL: what a shop has after some years. */
export function shopOn(database: TestDatabase): App {
  return defineApp({
    connectionString: database.url,
    // One connection: what is measured is what one viewer waits for.
    maxConnections: 4,
    modules: [
      ...all,
      ...['mail', 'ledger', 'search', 'reports'].map((name) =>
        defineListener(name).on(paid, () => {}),
      ),
      defineProjection('orders', { version: 1, keyed: true, initial: () => ({ state: 'new' }) })
        .on(placed, (state) => state, byOrder)
        .on(paid, () => ({ state: 'paid' }), byOrder),
      ...Array.from({ length: 20 }, (_, type) =>
        defineJob(`job_${type}`, { input: z.object({}), run: () => {} }),
      ),
    ],
  })
}

const step = 500_000

/**
 * Fills it: so many events, a third of them in streams, and as many jobs, of which 96 in 100 have completed; dead letters,
 * states of a projection, attempts, and processes.
 */
export async function fill(
  database: TestDatabase,
  rows: number,
  progress: (line: string) => void,
): Promise<void> {
  await database.query('SELECT tidemark.ensure_partitions($1::integer)', [
    Math.ceil(rows / 1_000_000) + 2,
  ])
  // Made again at the end: row by row they take most of the time.
  const { rows: indexes } = await database.query<{ drop: string; make: string }>(
    `SELECT format('DROP INDEX %s', i.indexrelid::regclass) AS drop, pg_get_indexdef(i.indexrelid) AS make
     FROM pg_index i WHERE i.indrelid = 'tidemark.jobs'::regclass AND NOT i.indisprimary`,
  )
  for (const { drop } of indexes) await database.query(drop)
  for (let done = 0; done < rows; done += step) {
    const part = [done + 1, Math.min(rows, done + step), rows]
    await database.query(events, part)
    await database.query(jobs, part)
    progress(`${done + step} of ${rows} events and jobs`)
  }
  for (const { make } of indexes) await database.query(make)
  progress('indexes made')
  await database.query(rest, [])
  await database.query(`UPDATE tidemark.cursors SET cursor = (SELECT max(sequence) FROM tidemark.events)
    - CASE listener WHEN 'reports' THEN ${rows / 10} ELSE 0 END`)
  progress('vacuum')
  await database.query('SELECT tidemark.fold_job_counts()')
  await database.query('VACUUM ANALYZE')
}

// A day of a hundred days behind, one row after the other.
const at = `clock_timestamp() - interval '100 days' * (1 - n::float8 / $3)`

const events = `
  INSERT INTO tidemark.events (recorded_at, stream, stream_version, type, key, payload, correlation_id)
  SELECT ${at}, CASE WHEN n % 3 = 0 THEN 'order-' || n % 99999 END, CASE WHEN n % 3 = 0 THEN n / 99999 + 1 END,
    CASE WHEN n % 100000 = 7 THEN 'orders.disputed' ELSE (ARRAY['orders.placed', 'orders.paid', 'orders.shipped'])[1 + n % 3] END,
    CASE WHEN n % 3 = 1 THEN 'customer-' || n % 50000 END,
    jsonb_build_object('order', 'o-' || n, 'customer', jsonb_build_object('id', n % 50000), 'cents', n % 9973),
    'request-' || n / 4
  FROM generate_series($1::bigint, $2::bigint) AS n`

const jobs = `
  INSERT INTO tidemark.jobs (id, created_at, run_at, started_at, finished_at, name, queue, status, attempt, process, concurrency_key,
    input, output, error, correlation_id)
  SELECT (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8'
      || lpad(to_hex(n), 15, '0'))::uuid,
    t, CASE WHEN k < 15 THEN t + interval '200 days' ELSE t END, t, CASE WHEN k >= 35 THEN t + interval '1 s' END,
    'job_' || n % 20, CASE WHEN n % 50 = 0 THEN 'mails' ELSE 'default' END,
    CASE WHEN k < 10 THEN 'queued' WHEN k < 15 THEN 'scheduled' WHEN k < 17 THEN 'paused'
      WHEN k < 27 THEN 'failed' WHEN k < 35 THEN 'cancelled' ELSE 'completed' END,
    CASE WHEN k BETWEEN 10 AND 12 THEN 3 ELSE 1 END, NULL::uuid, CASE WHEN n % 200 = 0 THEN 'customer-' || n % 50000 END,
    jsonb_build_object('order', 'o-' || n), CASE WHEN k >= 35 THEN '{"sent":true}'::jsonb END,
    CASE WHEN k BETWEEN 10 AND 12 OR k BETWEEN 17 AND 26 THEN
      jsonb_build_object('name', 'Error', 'message', 'the printer does not answer', 'code', 'EPRINT' || n % 7) END,
    'request-' || n / 4
  FROM generate_series($1::bigint, $2::bigint) AS n CROSS JOIN LATERAL (SELECT ${at} AS t, n * 7919 % 1000 AS k) AS s`

const rest = `
  INSERT INTO tidemark.streams (stream, version)
    SELECT stream, max(stream_version) FROM tidemark.events WHERE stream IS NOT NULL GROUP BY 1;
  INSERT INTO tidemark.dead_letters (listener, generation, sequence, type, event_id, key, holds_key, state, attempts, error)
    SELECT 'mail', 1, sequence, type, id, key, false, 'parked', 3,
      jsonb_build_object('name', 'Error', 'message', 'no such mailbox', 'code', 'E' || sequence % 5)
    FROM tidemark.events WHERE sequence <= 10000;
  INSERT INTO tidemark.projection_states (projection, generation, key, state, sequence)
    SELECT 'orders', 1, 'o-' || n, '{"state":"paid"}', n FROM generate_series(1, 200000) AS n;
  INSERT INTO tidemark.processes (id, hostname, pid, library, definitions, heartbeat_at)
    SELECT gen_random_uuid(), 'worker-' || n, n, '0.1.0', p.definitions, clock_timestamp() + interval '1 day'
    FROM generate_series(1, 3) AS n CROSS JOIN (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', kind, 'name', name, 'version', version)), '[]')
      AS definitions FROM tidemark.listeners) AS p;
  UPDATE tidemark.jobs j SET status = 'running', process = p.id FROM
    (SELECT id FROM tidemark.jobs WHERE status = 'queued' ORDER BY id LIMIT 300) AS s, (SELECT id FROM tidemark.processes LIMIT 1) AS p
    WHERE j.id = s.id;
  INSERT INTO tidemark.samples
    SELECT date_trunc('minute', clock_timestamp()) - n * interval '1 minute', 1000000 - n, 1000000 - n, 0, 0, 3, 1, 1, 1
    FROM generate_series(0, 359) AS n`
