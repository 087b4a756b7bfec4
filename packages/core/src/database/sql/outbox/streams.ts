import { statement, type SchemaStatement } from '../../statement.ts'
import { eventColumns, eventSize } from './read-page.ts'

// A stream in the order of its versions, by the partial index on (stream, stream_version). A page ends as those of the
// outbox do.
export const readStream: SchemaStatement = statement(
  'read_stream',
  (schema) => `
SELECT ${eventColumns}, bytes FROM (
  SELECT ${eventColumns}, ${eventSize} AS size,
    sum(${eventSize}) OVER (ORDER BY stream_version ROWS UNBOUNDED PRECEDING) AS bytes
  FROM ${schema}.events
  WHERE stream = $1::text AND stream_version > $2::bigint
  ORDER BY stream_version LIMIT $3::integer) AS p
WHERE bytes - size < $4::bigint
ORDER BY stream_version`,
)

export const readSnapshot: SchemaStatement = statement(
  'read_snapshot',
  (schema) => `
SELECT stream_version, state::text AS state, state_meta::text AS state_meta FROM ${schema}.snapshots
WHERE stream = $1::text AND entity_version = $2::integer`,
)

// An older snapshot never replaces a newer one: two transactions may have loaded the same stream.
export const writeSnapshot: SchemaStatement = statement(
  'write_snapshot',
  (schema) => `
INSERT INTO ${schema}.snapshots AS s (stream, stream_version, entity_version, state, state_meta)
VALUES ($1::text, $2::bigint, $3::integer, $4::jsonb, $5::jsonb)
ON CONFLICT (stream) DO UPDATE
SET stream_version = excluded.stream_version, entity_version = excluded.entity_version,
    state = excluded.state, state_meta = excluded.state_meta
WHERE s.stream_version < excluded.stream_version OR s.entity_version <> excluded.entity_version`,
)
