import { statement, type SchemaStatement } from '../statement.ts'

const leaseColumns = `c.listener, c.generation, c.partition, c.epoch, c.cursor, c.replay_until, c.attempts,
  c.failed_sequence, c.next_attempt_at, c.state, c.state_meta`

// Takes free and expired partitions of listeners that this process knows at this version. SKIP LOCKED: a row
// that is locked belongs to a batch that is about to commit.
export const acquireLeases: SchemaStatement = statement(
  'acquire_leases',
  (schema) => `
WITH mine AS (
  SELECT * FROM unnest($3::text[], $4::integer[]) AS m (name, version)
), free AS (
  SELECT c.listener, c.generation, c.partition
  FROM mine m
  JOIN ${schema}.listeners l ON l.name = m.name AND l.version = m.version
  JOIN ${schema}.cursors c ON c.listener = l.name AND c.generation = l.generation
  WHERE l.status <> 'paused' AND l.mode = 'async' AND c.halted_at IS NULL
    AND (c.owner IS NULL OR c.lease_until < clock_timestamp())
  ORDER BY c.listener, c.generation, c.partition
  FOR UPDATE OF c SKIP LOCKED
)
UPDATE ${schema}.cursors c
SET owner = $1::uuid, epoch = c.epoch + 1,
    lease_until = clock_timestamp() + $2::integer * interval '1 ms', updated_at = clock_timestamp()
FROM free f
WHERE c.listener = f.listener AND c.generation = f.generation AND c.partition = f.partition
RETURNING ${leaseColumns}`,
)

// Renews all leases of the process and answers the ones that it still holds. Rows that a batch of its own has
// locked are renewed by that batch's fence; waiting for them here would let the others expire.
export const renewLeases: SchemaStatement = statement(
  'renew_leases',
  (schema) => `
WITH idle AS (
  SELECT listener, generation, partition FROM ${schema}.cursors
  WHERE owner = $1::uuid
  ORDER BY listener, generation, partition
  FOR UPDATE SKIP LOCKED
), renewed AS (
  UPDATE ${schema}.cursors c SET lease_until = clock_timestamp() + $2::integer * interval '1 ms'
  FROM idle i
  WHERE c.listener = i.listener AND c.generation = i.generation AND c.partition = i.partition
)
SELECT listener, generation, partition, epoch FROM ${schema}.cursors WHERE owner = $1::uuid`,
)

export const releaseLease: SchemaStatement = statement(
  'release_lease',
  (schema) => `
UPDATE ${schema}.cursors SET owner = NULL, lease_until = NULL, updated_at = clock_timestamp()
WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer AND epoch = $4::bigint`,
)

// The fence: nothing commits unless this owner's epoch and the cursor that the batch started from still hold.
// It runs first in the batch's transaction, so that a second owner waits at the row and then finds it moved.
export const advanceCursor: SchemaStatement = statement(
  'advance_cursor',
  (schema) => `
UPDATE ${schema}.cursors
SET cursor = $6::bigint, lease_until = clock_timestamp() + $7::integer * interval '1 ms',
    attempts = 0, failed_sequence = NULL, next_attempt_at = NULL, last_error = NULL,
    updated_at = clock_timestamp()
WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer
  AND epoch = $4::bigint AND cursor = $5::bigint`,
)

// The fence of a state projection: its whole batch is this one statement.
export const advanceState: SchemaStatement = statement(
  'advance_state',
  (schema) => `
UPDATE ${schema}.cursors
SET cursor = $6::bigint, lease_until = clock_timestamp() + $7::integer * interval '1 ms',
    state = $8::jsonb, state_meta = $9::jsonb,
    attempts = 0, failed_sequence = NULL, next_attempt_at = NULL, last_error = NULL,
    updated_at = clock_timestamp()
WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer
  AND epoch = $4::bigint AND cursor = $5::bigint`,
)

// Moves idle listeners past events of other types: one statement for the whole process, now and then. It leaves
// the record of a failure alone: a listener that waits for its next attempt is not idle.
export const advanceIdle: SchemaStatement = statement(
  'advance_idle',
  (schema) => `
UPDATE ${schema}.cursors c
SET cursor = v.new_cursor, updated_at = clock_timestamp()
FROM unnest($1::text[], $2::integer[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[])
  AS v (listener, generation, partition, epoch, old_cursor, new_cursor)
WHERE c.listener = v.listener AND c.generation = v.generation AND c.partition = v.partition
  AND c.epoch = v.epoch AND c.cursor = v.old_cursor
RETURNING c.listener, c.generation, c.partition`,
)

// Counts an attempt, outside of the transaction that was rolled back. With a time for the next attempt the
// listener waits; without one it halts and gives up its lease.
export const recordFailure: SchemaStatement = statement(
  'record_failure',
  (schema) => `
WITH failed AS (
  UPDATE ${schema}.cursors
  SET attempts = $5::integer, failed_sequence = $6::bigint, last_error = $7::jsonb,
      next_attempt_at = clock_timestamp() + $8::integer * interval '1 ms',
      halted_at = CASE WHEN $8::integer IS NULL THEN clock_timestamp() END,
      owner = CASE WHEN $8::integer IS NULL THEN NULL ELSE owner END,
      lease_until = CASE WHEN $8::integer IS NULL THEN NULL ELSE lease_until END,
      updated_at = clock_timestamp()
  WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer AND epoch = $4::bigint
  RETURNING halted_at
), halted AS (
  UPDATE ${schema}.listeners SET status = 'halted', updated_at = clock_timestamp()
  WHERE name = $1::text AND status = 'active' AND EXISTS (SELECT FROM failed WHERE halted_at IS NOT NULL)
)
SELECT count(*)::integer AS recorded FROM failed`,
)

export const progressOf: SchemaStatement = statement(
  'progress_of',
  (schema) => `
SELECT l.status, min(c.cursor) AS cursor, (array_agg(c.last_error) FILTER (WHERE c.last_error IS NOT NULL))[1] AS last_error
FROM ${schema}.listeners l
LEFT JOIN ${schema}.cursors c ON c.listener = l.name AND c.generation = l.generation
WHERE l.name = $1::text
GROUP BY l.name`,
)
