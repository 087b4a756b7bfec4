import type { DbBinding } from '../../database/bound/db-binding.ts'

/** What `knex({ client: 'pg', … })` makes. */
export interface KnexInstance {
  withUserParams(params: object): unknown
}

/**
 * The option `db`: the application's Knex, bound to the running transaction. `db.transaction(…)` in it is a savepoint.
 *
 * @example
 * ```ts
 * import { defineListener, defineEvent } from 'tidemark'
 * import { bindKnex, type KnexInstance } from 'tidemark/knex'
 *
 * declare const knex: KnexInstance
 *
 * // defineApp({ modules, db: bindKnex(knex) })
 * const db = bindKnex(knex)
 * ```
 */
export function bindKnex<Knex extends KnexInstance>(knex: Knex): DbBinding<Knex> {
  return (client) => {
    // A Knex that shares everything with the first one but its client.
    const bound = knex.withUserParams({}) as Knex & { client: KnexClient }
    bound.client.acquireConnection = async () => client
    bound.client.releaseConnection = async () => {}
    bound.client.destroy = async () => {}
    return bound
  }
}

interface KnexClient {
  acquireConnection: () => Promise<unknown>
  releaseConnection: (connection: unknown) => Promise<void>
  destroy: () => Promise<void>
}
