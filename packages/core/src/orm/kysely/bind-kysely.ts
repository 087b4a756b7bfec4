import type { DbBinding } from '../../database/bound/db-binding.ts'
import { dialectOn } from '../../database/kysely.ts'

/**
 * The option `db` for a Kysely with plugins, a logger or a version of its own: made by the application, of the dialect
 * that it is given.
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
// `never`: the dialect of whichever version of Kysely the application has.
export function bindKysely<Own>(make: (dialect: never) => Own): DbBinding<Own> {
  return (client) => make(dialectOn(client, true) as never)
}
