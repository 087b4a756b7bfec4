import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { migrateUp, type ConnectionOptions } from 'tidemark'
import type { App } from 'tidemark'
import { reading } from '../output/rows.ts'

/** An install that nobody else uses; dropped with all that is in it when it is disposed. */
export class ThrowAwaySchema implements AsyncDisposable {
  readonly connection: ConnectionOptions
  readonly name: string

  private constructor(connection: ConnectionOptions, name: string) {
    this.connection = connection
    this.name = name
  }

  static async create(connection: ConnectionOptions): Promise<ThrowAwaySchema> {
    const schema = new ThrowAwaySchema(
      connection,
      `tidemark_bench_${randomBytes(4).toString('hex')}`,
    )
    try {
      await migrateUp({ ...connection, schema: schema.name })
      return schema
    } catch (error) {
      await schema[Symbol.asyncDispose]().catch(() => {})
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { connectionString, connection } = this.connection
    const client = new pg.Client({
      ...connection,
      ...(connectionString === undefined ? {} : { connectionString }),
    })
    await client.connect()
    try {
      await client.query(`DROP SCHEMA IF EXISTS "${this.name}" CASCADE`)
    } finally {
      await client.end()
    }
  }
}

/** The installs in the database that live processes work in, and how many. */
export function liveInstalls(
  app: App,
): Promise<readonly { readonly schema: string; readonly processes: number }[]> {
  return reading(app, async (query) => {
    const schemas = await query<{ name: string }>(
      `SELECT n.nspname AS name FROM pg_namespace n
       WHERE to_regclass(format('%I.processes', n.nspname)) IS NOT NULL
         AND to_regclass(format('%I.events_sequence', n.nspname)) IS NOT NULL ORDER BY 1`,
    )
    const live: { schema: string; processes: number }[] = []
    for (const { name } of schemas) {
      const [row] = await query<{ processes: number }>(
        `SELECT count(*)::integer AS processes FROM "${name.replaceAll('"', '""')}".processes
         WHERE heartbeat_at > clock_timestamp() - interval '15 s'`,
      )
      const processes = row?.processes ?? 0
      if (processes > 0) live.push({ schema: name, processes })
    }
    return live
  })
}
