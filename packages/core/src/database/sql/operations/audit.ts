import { statement, type SchemaStatement } from '../../statement.ts'

export const beginAction: SchemaStatement = statement(
  'begin_action',
  (schema) => `
INSERT INTO ${schema}.audit (via, by, action, kind, name, asked)
VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6::jsonb) RETURNING id`,
)

export const endAction: SchemaStatement = statement(
  'end_action',
  (schema) => `
UPDATE ${schema}.audit SET outcome = $2::text, code = $3::text, result = $4::jsonb, ended_at = clock_timestamp()
WHERE id = $1::bigint`,
)

// Ids are drawn in about the order of their times: what is old is at the lower end of the primary key, and the first
// that is to stay ends the look. At most 10,000 at once: the rest goes with the next round.
export const forgetActions: SchemaStatement = statement(
  'forget_actions',
  (schema) => `
DELETE FROM ${schema}.audit WHERE id = ANY (ARRAY(
  SELECT a.id FROM (SELECT o.id, o.at FROM ${schema}.audit o ORDER BY o.id LIMIT 10000) AS a
  WHERE a.at < clock_timestamp() - $1::float8 * interval '1 ms'
    OR a.id <= (SELECT max(m.id) FROM ${schema}.audit m) - $2::bigint))`,
)
