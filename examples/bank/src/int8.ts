import type { ColumnType } from 'kysely'

/** A `bigint` column: node-postgres reads it as text, since a number cannot hold it. */
export type Int8 = ColumnType<string, bigint, bigint>
