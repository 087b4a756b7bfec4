import { statement, type SchemaStatement } from '../../statement.ts'

// Who is alive and can run what, and which partitions there are: what every process computes the same assignment
// from. Cursors that stand where a resize begins have nothing to do until it is over.
//
// Each process asks each second, and nearly always nothing has changed: then only a digest of it is made ($2: of what it
// has). What processes run is answered once for all that run the same, and only to who does not have it ($3). With 500
// processes and 200 listeners an answer with everything would have some 15 MB.
export const readRoster: SchemaStatement = statement(
  'read_roster',
  (schema) => `
WITH alive AS MATERIALIZED (
  SELECT p.id, p.runs FROM ${schema}.processes p
  WHERE p.heartbeat_at > clock_timestamp() - $1::integer * interval '1 ms'
), places AS MATERIALIZED (
  SELECT c.listener, CASE WHEN c.generation = l.generation THEN l.version ELSE l.rebuild_version END AS version,
    c.generation, c.partition, c.generation = l.generation AS live,
    CASE WHEN c.generation = l.generation THEN l.definition -> 'types' END AS types, c.awaits,
    CASE WHEN c.lease_until > clock_timestamp() THEN c.owner END AS owner
  FROM ${schema}.listeners l
  JOIN ${schema}.cursors c ON c.listener = l.name
  WHERE l.mode = 'async' AND c.halted_at IS NULL
    AND CASE WHEN c.generation = l.generation
          THEN l.status <> 'paused' AND (l.resize_at IS NULL OR c.cursor < l.resize_at)
          ELSE c.generation = l.rebuild_generation AND NOT l.rebuild_paused END
), present AS MATERIALIZED (
  SELECT concat_ws(' ', (SELECT coalesce(bit_xor(uuid_hash_extended(a.id, a.runs)), 0) FROM alive a),
    (SELECT coalesce(bit_xor(hash_record_extended(p, 0)), 0) FROM places p)) AS digest
)
SELECT n.digest, EXISTS (SELECT FROM ${schema}.listeners WHERE resize_to IS NOT NULL) AS resizing,
  CASE WHEN n.digest IS DISTINCT FROM $2::text THEN
    (SELECT coalesce(jsonb_agg(jsonb_build_object('id', a.id, 'runs', a.runs::text) ORDER BY a.id), '[]')
     FROM alive a) END AS processes,
  CASE WHEN n.digest IS DISTINCT FROM $2::text THEN
    (SELECT coalesce(jsonb_object_agg(p.runs, jsonb_path_query_array(p.definitions,
       '$[*] ? (@.kind != "job" && @.kind != "schedule")')), '{}')
     FROM (SELECT DISTINCT ON (a.runs) a.id FROM alive a WHERE a.runs <> ALL ($3::bigint[])) AS one
     JOIN ${schema}.processes p ON p.id = one.id) END AS definitions,
  CASE WHEN n.digest IS DISTINCT FROM $2::text THEN
    (SELECT coalesce(jsonb_agg(jsonb_build_object('listener', p.listener, 'version', p.version,
       'generation', p.generation, 'partition', p.partition, 'live', p.live, 'types', p.types, 'awaits', p.awaits,
       'owner', p.owner) ORDER BY p.listener, p.generation, p.partition), '[]')
     FROM places p) END AS partitions
FROM present n`,
)

// Takes partitions that are free or whose lease has expired. SKIP LOCKED: a row that is locked belongs to a batch
// that is about to commit. A lease that was not given back belonged to a process that died: that is counted until
// the cursor moves.
export const acquireLeases: SchemaStatement = statement(
  'acquire_leases',
  (schema) => `
WITH free AS (
  SELECT c.listener, c.generation, c.partition, c.generation = l.generation AS live,
    CASE WHEN c.generation = l.generation THEN l.partitions ELSE l.rebuild_partitions END AS partitions,
    CASE WHEN c.generation = l.generation THEN l.resize_at END AS resize_at
  FROM unnest($3::text[], $4::integer[], $5::integer[]) AS w (listener, generation, partition)
  JOIN ${schema}.cursors c
    ON c.listener = w.listener AND c.generation = w.generation AND c.partition = w.partition
  JOIN ${schema}.listeners l ON l.name = c.listener
  WHERE c.halted_at IS NULL
    AND CASE WHEN c.generation = l.generation THEN l.status <> 'paused' ELSE NOT l.rebuild_paused END
    AND (c.owner IS NULL OR c.lease_until < clock_timestamp())
  ORDER BY c.listener, c.generation, c.partition
  FOR UPDATE OF c SKIP LOCKED
)
UPDATE ${schema}.cursors c
SET owner = $1::uuid, epoch = c.epoch + 1,
    crashes = c.crashes + CASE WHEN c.owner IS NULL THEN 0 ELSE 1 END,
    lease_until = clock_timestamp() + $2::integer * interval '1 ms', updated_at = clock_timestamp()
FROM free f
WHERE c.listener = f.listener AND c.generation = f.generation AND c.partition = f.partition
RETURNING c.listener, c.generation, c.partition, f.live, f.partitions, f.resize_at, c.epoch, c.cursor, c.replay_until,
  c.attempts, c.crashes, c.failed_sequence,
  (greatest(0, extract(epoch FROM c.next_attempt_at - clock_timestamp())) * 1000)::float8 AS next_attempt_in,
  c.state, c.state_meta`,
)

export const releaseLease: SchemaStatement = statement(
  'release_lease',
  (schema) => `
UPDATE ${schema}.cursors SET owner = NULL, lease_until = NULL, updated_at = clock_timestamp()
WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer AND epoch = $4::bigint`,
)

// Sent from within a long batch's own transaction, which holds the row: its lease is fresh when it commits, and the
// session has shown that its process is not frozen.
export const prolongLease: SchemaStatement = statement(
  'prolong_lease',
  (schema) => `
UPDATE ${schema}.cursors SET lease_until = clock_timestamp() + $5::integer * interval '1 ms'
WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer AND epoch = $4::bigint`,
)

const fenced = `WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer
  AND epoch = $4::bigint AND cursor = $5::bigint`

const moved = `cursor = $6::bigint, lease_until = clock_timestamp() + $7::integer * interval '1 ms',
    attempts = 0, crashes = 0, failed_sequence = NULL, next_attempt_at = NULL, last_error = NULL, awaits = NULL,
    updated_at = clock_timestamp()`

// The fence: nothing commits unless this owner's epoch and the cursor that the batch started from still hold.
// It runs first in the batch's transaction, so that a second owner waits at the row and then finds it moved.
export const advanceCursor: SchemaStatement = statement(
  'advance_cursor',
  (schema) => `UPDATE ${schema}.cursors SET ${moved} ${fenced}`,
)

// The fence of a state projection: its whole batch is this one statement.
export const advanceState: SchemaStatement = statement(
  'advance_state',
  (schema) =>
    `UPDATE ${schema}.cursors SET ${moved}, state = $8::jsonb, state_meta = $9::jsonb ${fenced}`,
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
      next_attempt_at = clock_timestamp() + $8::float8 * interval '1 ms',
      halted_at = CASE WHEN $8::integer IS NULL THEN clock_timestamp() END,
      owner = CASE WHEN $8::integer IS NULL THEN NULL ELSE owner END,
      lease_until = CASE WHEN $8::integer IS NULL THEN NULL ELSE lease_until END,
      updated_at = clock_timestamp()
  WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer AND epoch = $4::bigint
  RETURNING halted_at
), halted AS (
  UPDATE ${schema}.listeners SET status = 'halted', updated_at = clock_timestamp()
  WHERE name = $1::text AND generation = $2::integer AND status IN ('active', 'rebuilding') AND EXISTS (SELECT FROM failed WHERE halted_at IS NOT NULL)
)
SELECT count(*)::integer AS recorded FROM failed`,
)

// Written and committed before an event is handled that may have killed its process: who dies now leaves the name
// of the event behind. Crashes at another event count no longer.
export const markStarted: SchemaStatement = statement(
  'mark_started',
  (schema) => `
UPDATE ${schema}.cursors
SET crashes = CASE WHEN failed_sequence = $6::bigint THEN crashes ELSE 0 END, failed_sequence = $6::bigint,
    updated_at = clock_timestamp()
${fenced}
RETURNING crashes`,
)

export const progressOf: SchemaStatement = statement(
  'progress_of',
  (schema) => `
SELECT l.name, l.status, min(c.cursor) AS cursor, (array_agg(c.last_error) FILTER (WHERE c.last_error IS NOT NULL))[1] AS last_error
FROM ${schema}.listeners l
LEFT JOIN ${schema}.cursors c ON c.listener = l.name AND c.generation = l.generation
WHERE l.name = ANY ($1::text[])
GROUP BY l.name`,
)

// Leaves a partition to processes that know a version of an event: the lease is given up, and nothing is counted.
export const awaitVersion: SchemaStatement = statement(
  'await_version',
  (schema) => `
UPDATE ${schema}.cursors
SET awaits = jsonb_build_object('type', $5::text, 'version', $6::integer), last_error = $7::text::jsonb,
    owner = NULL, lease_until = NULL, updated_at = clock_timestamp()
WHERE listener = $1::text AND generation = $2::integer AND partition = $3::integer AND epoch = $4::bigint`,
)
