import pg from 'pg'
import { unnamed } from './prepared-names.ts'

// What the type definitions leave out.
interface QueryFields {
  name?: string | undefined
  queryMode?: string | undefined
  callback?: (error: Error | null, result: pg.QueryResult) => void
}
interface ClientFields {
  readonly connection: {
    /** By name, those that the server is still to say that it has. */
    readonly submittedNamedStatements?: Readonly<Record<string, string | undefined>>
  }
}
const { utils } = pg as unknown as { utils: { prepareValue(value: unknown): unknown } }

/** The parts of a configuration that the driver does nothing with but send them. */
interface KnownConfig extends pg.QueryConfig {
  readonly rowMode?: string
  readonly queryMode?: 'extended'
}

// INVARIANT: only the driver itself is given its queries. What stands in its place, a tracer, a log, a subclass, another copy of
// it, takes what applications give it, and awaits an answer. It may have been there before this module.
const { query: present } = pg.Client.prototype as { readonly query: unknown }
const ownQuery = Function.prototype.toString.call(present).includes('submit') ? present : undefined

const known = new Set(['text', 'values', 'name', 'types', 'rowMode', 'queryMode'])

/**
 * A query of the driver's own class; undefined when only the driver can make one. It makes one of each configuration, but
 * copies that first, which takes 2 to 7 us: more than all else that it does to send a statement.
 *
 * @throws what is wrong with a value of a statement that has a name, before anything is sent: the driver would have the
 * server drop the statement, and go on as if it was there.
 */
export function driverQuery(config: pg.QueryConfig): pg.Query | undefined {
  const values =
    config.name === undefined || !Array.isArray(config.values)
      ? config.values
      : config.values.map((value: unknown) => utils.prepareValue(value))
  if (!isKnown(config) || pg.Client.prototype.query !== ownQuery) return undefined
  const { name, text, types, rowMode, queryMode } = config
  const query = new pg.Query(text, values)
  const fields = query as unknown as QueryFields
  fields.name = name
  fields.queryMode = queryMode
  if (types !== undefined || rowMode !== undefined) {
    const result = new pg.Result(rowMode ?? '', types as typeof pg.types)
    // By the names of a configuration, too: whoever copies it, to write a comment into its text, has all of it.
    Object.assign(query, { types, rowMode, _rowMode: rowMode, _result: result, _results: result })
  }
  return query
}

/** Whether the driver reads nothing else of it. Somebody's class may compute its text when it is asked for it. */
function isKnown(config: pg.QueryConfig): config is KnownConfig {
  if (typeof config.text !== 'string' || Object.getPrototypeOf(config) !== Object.prototype) {
    return false
  }
  for (const key in config) if (!known.has(key)) return false
  return true
}

/** Sends it as `client.query` does, whoever's the client is. */
export async function queryOn(
  client: pg.ClientBase,
  config: pg.QueryConfig,
): Promise<pg.QueryResult> {
  // Should the server refuse the first, all that rely on its name would fail for want of it, and not for what is wrong.
  const asked = isBeingPrepared(client, config.name) ? unnamed(config) : config
  const query = driverQuery(asked)
  if (query === undefined || client.query !== ownQuery) return client.query(asked)
  const fields = query as unknown as QueryFields
  try {
    return await new Promise((resolve, reject) => {
      fields.callback = (error, result) => {
        if (error) reject(error)
        else resolve(result)
      }
      client.query(query)
    })
  } catch (error) {
    // As the driver does: where it was read from says nothing, who asked does.
    if (error instanceof Error) Error.captureStackTrace(error)
    throw error
  }
}

function isBeingPrepared(client: pg.ClientBase, name: string | undefined): boolean {
  if (name === undefined) return false
  // Somebody else's client may be of another version.
  const { submittedNamedStatements } = (client as unknown as ClientFields).connection
  return submittedNamedStatements?.[name] !== undefined
}
