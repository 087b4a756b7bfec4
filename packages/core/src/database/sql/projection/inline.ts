import { statement, type SchemaStatement } from '../../statement.ts'

// The turn of a publishing transaction at its inline projections: it holds their rows until it ends. One order of
// locks for everybody.
export const lockInline: SchemaStatement = statement(
  'lock_inline',
  (schema) => `
SELECT l.name, l.mode, l.version, l.rebuild_version, c.state::text AS state, c.state_meta::text AS state_meta
FROM ${schema}.listeners l
JOIN ${schema}.cursors c ON c.listener = l.name AND c.generation = l.generation AND c.partition = 0
WHERE l.name = ANY ($1::text[])
ORDER BY l.name
FOR UPDATE OF c`,
)

export const advanceInline: SchemaStatement = statement(
  'advance_inline',
  (schema) => `
UPDATE ${schema}.cursors c
SET cursor = $2::bigint, state = $3::jsonb, state_meta = $4::jsonb, updated_at = clock_timestamp()
FROM ${schema}.listeners l
WHERE l.name = $1::text AND c.listener = l.name AND c.generation = l.generation AND c.partition = 0`,
)

export const readState: SchemaStatement = statement(
  'read_state',
  (schema) => `
SELECT l.version, c.cursor, c.state::text AS state, c.state_meta::text AS state_meta
FROM ${schema}.listeners l
JOIN ${schema}.cursors c ON c.listener = l.name AND c.generation = l.generation AND c.partition = 0
WHERE l.name = $1::text`,
)
