import { statement, type SchemaStatement } from '../../statement.ts'

export const armDoorbell: SchemaStatement = statement(
  'arm_doorbell',
  (schema) => `
INSERT INTO ${schema}.doorbells AS d (process, armed) VALUES ($1::uuid, $2::boolean)
ON CONFLICT (process) DO UPDATE SET armed = excluded.armed, since = clock_timestamp()
WHERE d.armed <> excluded.armed`,
)

export const removeDoorbell: SchemaStatement = statement(
  'remove_doorbell',
  (schema) => `DELETE FROM ${schema}.doorbells WHERE process = $1::uuid`,
)

// Rows of processes that died armed: they cost publishers a NOTIFY, nothing else.
export const sweepDoorbells: SchemaStatement = statement(
  'sweep_doorbells',
  (schema) => `
DELETE FROM ${schema}.doorbells d
WHERE NOT EXISTS (SELECT FROM ${schema}.processes p WHERE p.id = d.process)`,
)
