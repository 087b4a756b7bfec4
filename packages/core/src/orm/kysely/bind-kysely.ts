import type { Dialect, Kysely } from 'kysely'
import type { DbBinding } from '../../database/bound/db-binding.ts'
import { dialectOn } from '../../database/kysely.ts'

/**
 * The option `db` for a Kysely with plugins or a logger: made by the application, of the dialect it is given.
 *
 * @example
 * ```ts
 * import { CamelCasePlugin, Kysely } from 'kysely'
 * import { bindKysely } from 'tidemark/kysely'
 *
 * interface Tables {
 *   accounts: { id: string; openedAt: Date }
 * }
 *
 * // defineApp({ modules, db: bindKysely(…) })
 * const db = bindKysely((dialect) => new Kysely<Tables>({ dialect, plugins: [new CamelCasePlugin()] }))
 * ```
 */
export function bindKysely<Tables>(
  make: (dialect: Dialect) => Kysely<Tables>,
): DbBinding<Kysely<Tables>> {
  return (client) => make(dialectOn(client, true))
}
