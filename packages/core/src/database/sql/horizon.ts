import { statement, type SchemaStatement } from '../statement.ts'

// Steps 1 and 2 of reading. Rows are read by a later statement, whose snapshot is newer than both looks.
export const horizon: SchemaStatement = statement(
  'horizon',
  (schema) => `SELECT last_sequence, lowest_floor, still FROM ${schema}.horizon()`,
)
