import { statement, type SchemaStatement } from '../../statement.ts'
import { knownTypes } from './known-types.ts'

// Only what differs is written: a claim under the limit holds its row. The limit of a type that a live process has in a
// higher version stays.
export const putLimits: SchemaStatement = statement(
  'put_job_limits',
  (schema) => `
WITH given AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::float8[], $6::integer[])
    AS u (kind, name, concurrency, rate, period, version)
  WHERE u.kind = 'queue'
    OR NOT EXISTS (SELECT FROM (${knownTypes(schema)}) AS k WHERE k.name = u.name AND k.version > u.version)
), gone AS (
  DELETE FROM ${schema}.job_limits l USING given g
  WHERE l.kind = g.kind AND l.name = g.name AND g.concurrency IS NULL AND g.rate IS NULL
)
INSERT INTO ${schema}.job_limits AS l (kind, name, concurrency, rate, period)
SELECT g.kind, g.name, g.concurrency, g.rate, g.period FROM given g
WHERE (g.concurrency IS NOT NULL OR g.rate IS NOT NULL)
  AND NOT EXISTS (SELECT FROM ${schema}.job_limits o WHERE o.kind = g.kind AND o.name = g.name
    AND (o.concurrency, o.rate, o.period) IS NOT DISTINCT FROM (g.concurrency, g.rate, g.period))
ON CONFLICT (kind, name) DO UPDATE
SET concurrency = excluded.concurrency, rate = excluded.rate, period = excluded.period`,
)
