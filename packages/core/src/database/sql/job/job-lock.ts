import { statement, type SchemaStatement } from '../../statement.ts'

// Takes a lock that is free or whose holder has not renewed it. The token grows with every holder. A new
// row begins with the time in milliseconds: past the token of a row that was forgotten, which grew by one with each
// holder.
export const takeLock: SchemaStatement = statement(
  'take_lock',
  (schema) => `
INSERT INTO ${schema}.locks AS l (key, token, holder, held_until)
VALUES ($1::text, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, $2::text, clock_timestamp() + $3::float8 * interval '1 ms')
ON CONFLICT (key) DO UPDATE
SET token = l.token + 1, holder = excluded.holder, held_until = excluded.held_until
WHERE l.held_until < clock_timestamp()
RETURNING token`,
)

export const renewLock: SchemaStatement = statement(
  'renew_lock',
  (schema) => `
UPDATE ${schema}.locks SET held_until = clock_timestamp() + $3::float8 * interval '1 ms'
WHERE key = $1::text AND token = $2::bigint AND held_until > clock_timestamp()`,
)

export const releaseLock: SchemaStatement = statement(
  'release_lock',
  (schema) => `
UPDATE ${schema}.locks SET held_until = clock_timestamp() - interval '1 ms' WHERE key = $1::text AND token = $2::bigint`,
)
