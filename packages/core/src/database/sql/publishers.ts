import { statement, type SchemaStatement } from '../statement.ts'

// Who holds the horizon: the transaction with the lowest floor. Asked only when it has been held for long, so that
// joins that are too slow for the horizon itself do no harm. A prepared transaction has no pid; it is found by the
// lock that every transaction holds on its own number.
export const oldestPublisher: SchemaStatement = statement(
  'oldest_publisher',
  (schema) => `
SELECT p.floor, p.pid, x.gid AS prepared, a.application_name AS application, a.state,
  extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared))::float8 AS age_seconds,
  left(a.query, 200) AS query
FROM (SELECT floor, pid FROM ${schema}.publishers ORDER BY floor LIMIT 1) AS p
LEFT JOIN pg_stat_activity a ON a.pid = p.pid
LEFT JOIN pg_locks l ON p.pid IS NULL AND l.pid IS NULL AND l.locktype = 'advisory' AND l.objsubid = 1
  AND ((l.classid::bigint & 65535) << 32 | l.objid::bigint) = p.floor
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
LEFT JOIN pg_locks t ON t.pid IS NULL AND t.locktype = 'transactionid' AND t.mode = 'ExclusiveLock'
  AND t.virtualtransaction = l.virtualtransaction
LEFT JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
ORDER BY age_seconds DESC NULLS LAST LIMIT 1`,
)
