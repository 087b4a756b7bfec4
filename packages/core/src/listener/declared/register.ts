import type { Kysely } from 'kysely'

/**
 * Where a project declares its types once, by declaration merging:
 *
 * ```ts
 * interface MyTables {
 *   letters: { id: string; text: string }
 * }
 * declare module 'tidemark' {
 *   interface Register {
 *     database: MyTables
 *   }
 * }
 * ```
 */
// oxlint-disable-next-line typescript/no-empty-object-type -- an interface is what declarations merge into
export interface Register {}

/** The tables of the project, as Kysely sees them: `Register['database']`, or any table of unknown columns. */
export type RegisteredDatabase = Register extends { database: infer Tables }
  ? Tables
  : Record<string, Record<string, unknown>>

/** The Kysely that handlers get: bound to the running transaction. */
export type Db = Kysely<RegisteredDatabase>
