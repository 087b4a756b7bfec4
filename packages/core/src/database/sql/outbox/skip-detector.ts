import { statement, type SchemaStatement } from '../../statement.ts'

// How far below the horizon is looked, in sequences: whoever commits late has drawn shortly before.
const window = 10_000

// Remembers a horizon that was taken by an earlier statement, with a snapshot that is newer. Events that are visible
// here although their transaction is not in the snapshot come from another cluster, by dump and restore or by
// replication: their numbers say nothing here, so the sample begins above them. Not more than one sample each
// `interval`, however many processes there are.
export const sampleHorizon: SchemaStatement = statement(
  'sample_horizon',
  (schema) => `
WITH taken AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot, $1::bigint AS horizon)
INSERT INTO ${schema}.horizon_samples (base, horizon, snapshot)
SELECT greatest(t.horizon - ${window}, 0, (
    SELECT max(e.sequence) FROM ${schema}.events e
    WHERE e.sequence > t.horizon - ${window} AND e.sequence <= t.horizon
      AND NOT pg_visible_in_snapshot(e.xid, t.snapshot))), t.horizon, t.snapshot
FROM taken t
WHERE NOT EXISTS (
  SELECT FROM ${schema}.horizon_samples s
  WHERE s.sampled_at > clock_timestamp() - $2::float8 * interval '1 ms')`,
)

// Events at or below a horizon that the snapshot taken after it did not see: every one of them may have been skipped.
export const findSkips: SchemaStatement = statement(
  'find_skips',
  (schema) => `
UPDATE ${schema}.horizon_samples s
SET late = e.sequence, late_xid = e.xid, found_at = clock_timestamp()
FROM ${schema}.horizon_samples o
CROSS JOIN LATERAL (
  SELECT e.sequence, e.xid FROM ${schema}.events e
  WHERE e.sequence > o.base AND e.sequence <= o.horizon AND NOT pg_visible_in_snapshot(e.xid, o.snapshot)
  ORDER BY e.sequence LIMIT 1) AS e
WHERE o.id = s.id AND s.late IS NULL
RETURNING s.id, s.late, s.late_xid, s.horizon, s.sampled_at`,
)

// The same, without writing it down.
export const readSamples: SchemaStatement = statement(
  'read_samples',
  (schema) => `
SELECT s.horizon, s.sampled_at, coalesce(s.late, e.sequence) AS late, coalesce(s.late_xid, e.xid) AS late_xid
FROM ${schema}.horizon_samples s
LEFT JOIN LATERAL (
  SELECT e.sequence, e.xid FROM ${schema}.events e
  WHERE s.late IS NULL AND e.sequence > s.base AND e.sequence <= s.horizon
    AND NOT pg_visible_in_snapshot(e.xid, s.snapshot)
  ORDER BY e.sequence LIMIT 1) AS e ON true
ORDER BY s.id`,
)

// Old samples that can prove nothing more, because every transaction of their time has ended. What was found stays.
export const forgetSamples: SchemaStatement = statement(
  'forget_samples',
  (schema) => `
DELETE FROM ${schema}.horizon_samples s
WHERE s.late IS NULL
  AND s.id <= (SELECT id FROM ${schema}.horizon_samples ORDER BY id DESC OFFSET 10 LIMIT 1)
  AND (pg_snapshot_xmin(pg_current_snapshot()) >= pg_snapshot_xmax(s.snapshot)
    OR s.id <= (SELECT id FROM ${schema}.horizon_samples ORDER BY id DESC OFFSET 100 LIMIT 1))`,
)
