import { statement, type SchemaStatement } from '../../statement.ts'

export const registerProcess: SchemaStatement = statement(
  'register_process',
  (schema) => `
INSERT INTO ${schema}.processes (id, hostname, pid, library, definitions, vitals)
VALUES ($1::uuid, $2::text, $3::integer, $4::text, $5::jsonb, $6::jsonb)
ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp(), vitals = excluded.vitals
RETURNING extract(epoch FROM clock_timestamp())::float8 * 1000 AS now`,
)

// A sign of life: says that the process lives and how it is, renews all of its leases ($3: for how long; null: not), and
// answers what it still has.
// Cursors that a batch of its own has locked are renewed by that batch's fence; waiting for them here would let the others
// expire. Nothing waits for the disk: a server that crashes forgets a fraction of a second of a lease, with all connections.
export const beat: SchemaStatement = statement(
  'beat',
  (schema) => `
WITH known AS (
  UPDATE ${schema}.processes SET heartbeat_at = clock_timestamp(), vitals = $2::jsonb WHERE id = $1::uuid RETURNING id
), idle AS (
  SELECT listener, generation, partition FROM ${schema}.cursors
  WHERE owner = $1::uuid AND $3::integer IS NOT NULL
  ORDER BY listener, generation, partition
  FOR UPDATE SKIP LOCKED
), renewed AS (
  UPDATE ${schema}.cursors c SET lease_until = clock_timestamp() + $3::integer * interval '1 ms'
  FROM idle i
  WHERE c.listener = i.listener AND c.generation = i.generation AND c.partition = i.partition
)
SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now,
  set_config('synchronous_commit', 'off', true) AS committed,
  EXISTS (SELECT FROM known) AS known,
  EXISTS (SELECT FROM ${schema}.doorbells WHERE process = $1::uuid AND armed) AS armed,
  EXISTS (SELECT FROM ${schema}.job_doorbells WHERE process = $1::uuid AND armed) AS "jobsArmed",
  (SELECT coalesce(jsonb_agg(jsonb_build_object('listener', listener, 'generation', generation, 'partition', partition,
     'epoch', epoch::text)), '[]') FROM ${schema}.cursors WHERE owner = $1::uuid) AS held`,
)

export const removeProcess: SchemaStatement = statement(
  'remove_process',
  (schema) => `DELETE FROM ${schema}.processes WHERE id = $1::uuid`,
)

// Processes that have been silent for far longer than any lease lasts.
export const sweepProcesses: SchemaStatement = statement(
  'sweep_processes',
  (schema) => `
DELETE FROM ${schema}.processes WHERE heartbeat_at < clock_timestamp() - $1::integer * interval '1 ms'`,
)

export const ensurePartitions: SchemaStatement = statement(
  'ensure_partitions',
  (schema) => `SELECT ${schema}.ensure_partitions(2, $1::bigint) AS made`,
)
