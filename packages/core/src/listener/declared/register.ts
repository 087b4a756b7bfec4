import type { Kysely } from 'kysely'
import type { DbBinding } from '../../database/bound/db-binding.ts'

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
 *
 * `database` are the tables as Kysely sees them. A project with another query builder declares `db` instead, the type
 * of what the option `db` of `defineApp` makes: `db: NodePgDatabase<typeof schema>`.
 */
// oxlint-disable-next-line typescript/no-empty-object-type -- an interface is what declarations merge into
export interface Register {}

/** The tables of the project, as Kysely sees them: `Register['database']`, or any table of unknown columns. */
export type RegisteredDatabase = Register extends { database: infer Tables }
  ? Tables
  : Record<string, Record<string, unknown>>

/**
 * The `db` that handlers, jobs and transactions get, bound to the running transaction: `Register['db']` where the project
 * has declared one, else Kysely.
 */
export type Db = Register extends { db: infer Own } ? Own : Kysely<RegisteredDatabase>

/** The option that makes the project's own `db`; it is needed where `Register` declares one. */
export type RegisteredDb = Register extends { db: infer Own }
  ? {
      /** Makes the `db` of a transaction of the client it is given, for instance with `drizzle(client, { schema })`. */
      readonly db: DbBinding<Own>
    }
  : {
      /** Makes the `db` of transactions; to be declared as `Register['db']`. Defaults to Kysely. */
      readonly db?: never
    }
