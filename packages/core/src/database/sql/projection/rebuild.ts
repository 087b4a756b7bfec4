import { statement, type SchemaStatement } from '../../statement.ts'

// How far both generations have come, and how many events each has set aside or passed over. The live one at its furthest,
// the new one at its last partition. Of one projection, or of all that are being rebuilt.
export const rebuildProgress: SchemaStatement = statement(
  'rebuild_progress',
  (schema) => `
SELECT l.name AS projection, l.generation, l.rebuild_generation, l.rebuild_version, l.rebuild_partitions, l.rebuild_paused,
  l.rebuild_started_at, extract(epoch FROM clock_timestamp() - l.rebuild_started_at)::float8 AS seconds,
  coalesce((SELECT max(c.cursor) FROM ${schema}.cursors c
            WHERE c.listener = l.name AND c.generation = l.generation), 0) AS live_cursor,
  coalesce((SELECT min(c.cursor) FROM ${schema}.cursors c
            WHERE c.listener = l.name AND c.generation = l.rebuild_generation), 0) AS cursor,
  (SELECT c.last_error FROM ${schema}.cursors c
   WHERE c.listener = l.name AND c.generation = l.rebuild_generation AND c.last_error IS NOT NULL LIMIT 1) AS error,
  EXISTS (SELECT FROM ${schema}.cursors c
          WHERE c.listener = l.name AND c.generation = l.rebuild_generation AND c.halted_at IS NOT NULL) AS halted,
  (SELECT count(*)::integer FROM ${schema}.dead_letters d
   WHERE d.listener = l.name AND d.generation = l.rebuild_generation) AS set_aside,
  (SELECT count(*)::integer FROM ${schema}.dead_letters d
   WHERE d.listener = l.name AND d.generation = l.generation) AS live_set_aside
FROM ${schema}.listeners l
WHERE ($1::text IS NULL OR l.name = $1::text) AND l.rebuild_generation IS NOT NULL
ORDER BY l.name`,
)

// Holds one generation still: batches begin with an update of these rows.
export const lockGeneration: SchemaStatement = statement(
  'lock_generation',
  (schema) => `
SELECT cursor FROM ${schema}.cursors
WHERE listener = $1::text AND generation = $2::integer
ORDER BY partition FOR UPDATE`,
)

// Makes the new generation the live one, if nobody has cancelled or replaced it meanwhile.
export const switchGeneration: SchemaStatement = statement(
  'switch_generation',
  (schema) => `
UPDATE ${schema}.listeners
SET definition = $4::jsonb || jsonb_build_object('tables', definition -> 'tables'), generation = rebuild_generation, version = rebuild_version, partitions = rebuild_partitions,
    rebuild_generation = NULL, rebuild_version = NULL, rebuild_partitions = NULL, rebuild_paused = false,
    rebuild_started_at = NULL, resize_to = NULL, resize_at = NULL,
    status = CASE WHEN status = 'paused' THEN status ELSE 'active' END, updated_at = clock_timestamp()
WHERE name = $1::text AND generation = $2::integer AND rebuild_generation = $3::integer`,
)

// What belongs to no generation any more, a bounded number of rows at a time.
export const sweepStates: SchemaStatement = statement(
  'sweep_states',
  (schema) => `
DELETE FROM ${schema}.projection_states WHERE ctid = ANY (ARRAY(
  SELECT s.ctid FROM ${schema}.projection_states s
  JOIN ${schema}.listeners l ON l.name = s.projection
  WHERE s.generation <> l.generation AND s.generation IS DISTINCT FROM l.rebuild_generation
  LIMIT 10000))`,
)
