// Which of some tables ($1, names) and their partitions this transaction writes, or has written: it holds the lock of a
// writer until it ends. Statistics of rows would do, too, but can be turned off, and know nothing of TRUNCATE.
export const writtenAmong: string = `
WITH RECURSIVE tree (oid) AS (
  SELECT to_regclass(t.name)::oid FROM unnest($1::text[]) AS t (name)
  UNION
  SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
  JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition
)
SELECT DISTINCT l.relation::regclass::text AS name
FROM pg_locks l
WHERE l.locktype = 'relation' AND l.pid = pg_backend_pid() AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT oid FROM tree)
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY 1`
