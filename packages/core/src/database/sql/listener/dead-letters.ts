import { statement, type SchemaStatement } from '../../statement.ts'

// Sets events aside, in the transaction that moves the cursor past them.
export const insertDeadLetters: SchemaStatement = statement(
  'insert_dead_letters',
  (schema) => `
INSERT INTO ${schema}.dead_letters AS d
  (listener, generation, sequence, type, event_id, key, holds_key, state, attempts, error)
SELECT $1::text, $2::integer, u.sequence, u.type, u.event_id, u.key, $7::boolean, $8::text, $9::integer, $10::jsonb
FROM unnest($3::bigint[], $4::text[], $5::uuid[], $6::text[]) AS u (sequence, type, event_id, key)
ON CONFLICT (listener, generation, sequence) DO UPDATE
SET holds_key = excluded.holds_key, state = excluded.state, attempts = d.attempts + excluded.attempts,
    error = excluded.error, updated_at = clock_timestamp()`,
)

// What an owner must know before it goes on: the keys that are held, and what is to be tried again.
export const readHeldKeys: SchemaStatement = statement(
  'read_held_keys',
  (schema) => `
SELECT DISTINCT key FROM ${schema}.dead_letters
WHERE listener = $1::text AND generation = $2::integer AND holds_key AND state <> 'skipped'`,
)

export const readRetries: SchemaStatement = statement(
  'read_retries',
  (schema) => `
SELECT sequence, event_id, key, holds_key, attempts FROM ${schema}.dead_letters
WHERE listener = $1::text AND generation = $2::integer AND state = 'retry'
ORDER BY sequence`,
)

export const deleteDeadLetter: SchemaStatement = statement(
  'delete_dead_letter',
  (schema) => `
DELETE FROM ${schema}.dead_letters
WHERE listener = $1::text AND generation = $2::integer AND sequence = $3::bigint`,
)

// A retry that failed: the event is parked again, and what waits behind it goes on waiting.
export const parkAgain: SchemaStatement = statement(
  'park_again',
  (schema) => `
UPDATE ${schema}.dead_letters d
SET state = CASE WHEN d.sequence = $3::bigint THEN 'parked' ELSE 'waiting' END,
    attempts = d.attempts + CASE WHEN d.sequence = $3::bigint THEN 1 ELSE 0 END,
    error = CASE WHEN d.sequence = $3::bigint THEN $4::jsonb ELSE d.error END, updated_at = clock_timestamp()
WHERE d.listener = $1::text AND d.generation = $2::integer AND d.state = 'retry'
  AND (d.sequence = $3::bigint OR (d.holds_key AND d.key = $5::text))`,
)
