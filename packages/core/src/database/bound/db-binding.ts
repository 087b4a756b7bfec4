import type pg from 'pg'

/**
 * Makes the application's own `db` of a client that is in Tidemark's transaction: `(client) => drizzle(client, { schema })`,
 * `bindKnex(knex)`. Called once for each transaction that uses its `db`.
 */
export type DbBinding<Db = unknown> = (client: pg.PoolClient) => Db
