import { statement, type SchemaStatement } from '../../statement.ts'

// Nothing is looked at when another worker has been there. What it takes is indexes' rows: one of the outbox for each
// listener, what counts jobs, and the few processes.
export const takeSample: SchemaStatement = statement(
  'write_history',
  (schema) => `
INSERT INTO ${schema}.samples AS s
  (at, last_sequence, handled, lag_seconds, dead_letters, processes, queued, running, failed)
SELECT m.at, h.last_sequence,
  coalesce((SELECT sum(c.cursor) FROM ${schema}.cursors c JOIN ${schema}.listeners l
            ON l.name = c.listener AND l.generation = c.generation AND l.mode = 'async'), 0),
  coalesce((SELECT max(greatest(0, extract(epoch FROM clock_timestamp() - e.recorded_at)))
            FROM (SELECT min(c.cursor) AS cursor FROM ${schema}.cursors c JOIN ${schema}.listeners l
                  ON l.name = c.listener AND l.generation = c.generation AND l.mode = 'async' GROUP BY c.listener) AS b
            CROSS JOIN LATERAL (SELECT o.recorded_at FROM ${schema}.events o WHERE o.sequence > b.cursor
                                ORDER BY o.sequence LIMIT 1) AS e), 0)::float8,
  (SELECT count(*)::integer FROM ${schema}.dead_letters d WHERE d.state <> 'skipped'),
  (SELECT count(*)::integer FROM ${schema}.processes p WHERE p.heartbeat_at > clock_timestamp() - interval '10 s'),
  j.queued, j.running, j.failed
FROM (SELECT date_trunc('minute', clock_timestamp()) AS at) AS m
CROSS JOIN LATERAL ${schema}.horizon() AS h
CROSS JOIN LATERAL (
  SELECT coalesce(sum(c.jobs) FILTER (WHERE c.status = 'queued'), 0)::bigint AS queued,
    coalesce(sum(c.jobs) FILTER (WHERE c.status = 'running'), 0)::bigint AS running,
    coalesce(sum(c.jobs) FILTER (WHERE c.status = 'failed'), 0)::bigint AS failed
  FROM ${schema}.counted_jobs() AS c) AS j
WHERE NOT EXISTS (SELECT FROM ${schema}.samples t WHERE t.at = m.at)
ON CONFLICT (at) DO NOTHING`,
)

export const forgetSamples: SchemaStatement = statement(
  'forget_history',
  (schema) => `DELETE FROM ${schema}.samples WHERE at < clock_timestamp() - interval '1 day'`,
)
