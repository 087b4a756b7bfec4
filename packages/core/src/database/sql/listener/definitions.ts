import { statement, type SchemaStatement } from '../../statement.ts'

// Locks the listener's row, so that processes that start together agree on what to do with it. No key is updated: a
// long batch holds a key share lock on the row, and a process that starts must not wait for it.
export const lockListener: SchemaStatement = statement(
  'lock_listener',
  (schema) => `
INSERT INTO ${schema}.listeners AS l (name, kind, mode, version, definition, partitions)
VALUES ($1::text, $2::text, $3::text, $4::integer, $5::jsonb, $6::integer)
ON CONFLICT (name) DO UPDATE SET updated_at = l.updated_at
RETURNING l.kind, l.mode, l.version, l.generation, coalesce(l.resize_to, l.partitions) AS partitions,
  l.definition -> 'mapping' AS mapping, l.rebuild_version AS "rebuildVersion",
  (xmax = 0) AS created`,
)

export const updateListener: SchemaStatement = statement(
  'update_listener',
  (schema) => `
UPDATE ${schema}.listeners SET kind = $2::text, mode = $3::text, version = $4::integer,
  definition = $5::jsonb || jsonb_build_object('tables', definition -> 'tables'),
  updated_at = clock_timestamp()
WHERE name = $1::text`,
)

export const createCursor: SchemaStatement = statement(
  'create_cursor',
  (schema) => `
INSERT INTO ${schema}.cursors (listener, generation, partition, cursor)
VALUES ($1::text, $2::integer, $3::integer, $4::bigint) ON CONFLICT DO NOTHING`,
)

// Sends a listener back: whoever owns it loses its lease with the epoch, and what was behind the old cursor is a
// replay. A halt and its error are forgotten.
export const rewindCursors: SchemaStatement = statement(
  'rewind_cursors',
  (schema) => `
UPDATE ${schema}.cursors c
SET cursor = $2::bigint, replay_until = greatest(c.cursor, c.replay_until), epoch = c.epoch + 1,
    owner = NULL, lease_until = NULL, attempts = 0, failed_sequence = NULL, next_attempt_at = NULL,
    halted_at = NULL, last_error = NULL, state = NULL, state_meta = NULL, updated_at = clock_timestamp()
FROM ${schema}.listeners l
WHERE c.listener = $1::text AND l.name = c.listener AND l.generation = c.generation`,
)
