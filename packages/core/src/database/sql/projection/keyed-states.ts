import { statement, type SchemaStatement } from '../../statement.ts'

export const readKeyedStates: SchemaStatement = statement(
  'read_keyed_states',
  (schema) => `
SELECT key, state::text AS state, state_meta::text AS state_meta FROM ${schema}.projection_states
WHERE projection = $1::text AND generation = $2::integer AND key = ANY ($3::text[])`,
)

// One statement per batch, however many keys it touched.
export const writeKeyedStates: SchemaStatement = statement(
  'write_keyed_states',
  (schema) => `
INSERT INTO ${schema}.projection_states (projection, generation, key, state, state_meta, sequence)
SELECT $1::text, $2::integer, u.key, u.state, u.state_meta, u.sequence
FROM unnest($3::text[], $4::jsonb[], $5::jsonb[], $6::bigint[]) AS u (key, state, state_meta, sequence)
ON CONFLICT (projection, generation, key) DO UPDATE
SET state = excluded.state, state_meta = excluded.state_meta, sequence = excluded.sequence`,
)

export const deleteKeys: SchemaStatement = statement(
  'delete_keys',
  (schema) => `
DELETE FROM ${schema}.projection_states
WHERE projection = $1::text AND generation = $2::integer AND key = ANY ($3::text[])`,
)

// Of the live generation: what a projection starts again without.
export const deleteKeyedStates: SchemaStatement = statement(
  'delete_keyed_states',
  (schema) => `
DELETE FROM ${schema}.projection_states s USING ${schema}.listeners l
WHERE l.name = $1::text AND s.projection = l.name AND s.generation = l.generation`,
)

export const readKeyedState: SchemaStatement = statement(
  'read_keyed_state',
  (schema) => `
SELECT s.state::text AS state, s.state_meta::text AS state_meta
FROM ${schema}.listeners l
JOIN ${schema}.projection_states s ON s.projection = l.name AND s.generation = l.generation
WHERE l.name = $1::text AND s.key = $2::text`,
)

// A page of keys in their order, after the last one of the page before.
export const listKeyedStates: SchemaStatement = statement(
  'list_keyed_states',
  (schema) => `
SELECT s.key, s.state::text AS state, s.state_meta::text AS state_meta
FROM ${schema}.listeners l
JOIN ${schema}.projection_states s ON s.projection = l.name AND s.generation = l.generation
WHERE l.name = $1::text AND ($2::text IS NULL OR s.key > $2::text)
ORDER BY s.key LIMIT $3::integer`,
)
