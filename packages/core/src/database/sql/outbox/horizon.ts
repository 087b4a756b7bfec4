import { statement, type SchemaStatement } from '../../statement.ts'

// Steps 1 and 2 of reading. Rows are read by a later statement, whose snapshot is newer than both looks.
export const horizon: SchemaStatement = statement(
  'horizon',
  (schema) => `SELECT last_sequence, lowest_floor, still FROM ${schema}.horizon()`,
)

// The same, remembered in the transaction for the page that is asked for in the same breath (settledPage).
export const rememberHorizon: SchemaStatement = statement(
  'remember_horizon',
  (schema) => `
SELECT last_sequence, lowest_floor, still,
  set_config('tidemark.settled', least(last_sequence, lowest_floor)::text, true) AS settled
FROM ${schema}.horizon()`,
)
