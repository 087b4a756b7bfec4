import { execFile } from 'node:child_process'
import { appendFile, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createTestDatabase, startPostgres, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import { vi } from 'vitest'
import { effectsTemplate } from './fresh-database.ts'

const execute = promisify(execFile)

/** A primary and a standby that streams from it, each with the database `name`. */
export class ReplicatedPair implements AsyncDisposable {
  readonly primary: PostgresServer
  readonly standby: PostgresServer
  readonly name: string
  readonly #directory: string

  private constructor(
    primary: PostgresServer,
    standby: PostgresServer,
    name: string,
    directory: string,
  ) {
    this.primary = primary
    this.standby = standby
    this.name = name
    this.#directory = directory
  }

  /** Makes a cluster with Tidemark's tables and the one for effects, copies it and starts both copies. */
  static async start(): Promise<ReplicatedPair> {
    const directory = await mkdtemp(join(tmpdir(), 'tidemark-pair-'))
    await chmod(directory, 0o755)
    const [first, second] = [join(directory, 'first'), join(directory, 'second')]
    const common = { source: 'embedded', durable: false } as const
    const draft = await startPostgres({ ...common, dataDirectory: first })
    const database = await createTestDatabase({ server: draft, template: effectsTemplate })
    const { name } = database
    await database.query('checkpoint')
    // The pool of the test database; the database itself stays.
    await database.pool.end()
    await draft.stop()
    await execute('cp', ['-a', first, second])
    const primary = await startPostgres({ ...common, dataDirectory: first })
    const { port, username, password } = new URL(primary.url())
    const source = `host=127.0.0.1 port=${port} user=${username} password=${password}`
    await writeFile(join(second, 'data', 'standby.signal'), '')
    await appendFile(
      join(second, 'data', 'postgresql.auto.conf'),
      `primary_conninfo = '${source} application_name=standby'\n`,
    )
    const standby = await startPostgres({ ...common, dataDirectory: second })
    return new ReplicatedPair(primary, standby, name, directory)
  }

  /** Has every commit wait until the standby has it. */
  async makeSynchronous(): Promise<void> {
    await onServer(this.primary, async (query) => {
      await query(`alter system set synchronous_standby_names = 'standby'`)
      await query('select pg_reload_conf()')
      await vi.waitFor(
        async () => {
          const rows = await query(`select sync_state from pg_stat_replication`)
          if (rows[0]?.['sync_state'] !== 'sync') throw new Error('the standby is not synchronous')
        },
        { timeout: 20_000, interval: 20 },
      )
    })
  }

  /** The standby gets nothing more: what is committed from here on it will never have. */
  async cutOff(): Promise<void> {
    await onServer(this.standby, async (query) => {
      await query(`alter system set primary_conninfo = ''`)
      await query('select pg_reload_conf()')
      await vi.waitFor(
        async () => {
          const rows = await query('select from pg_stat_wal_receiver')
          if (rows.length > 0) throw new Error('the standby still receives')
        },
        { timeout: 20_000, interval: 20 },
      )
    })
  }

  /** Kills the primary and makes the standby the new one. */
  async failOver(): Promise<void> {
    await this.primary.kill()
    await onServer(this.standby, (query) => query('select pg_promote(true, 60)'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.standby.stop()
    await this.primary.stop()
    await rm(this.#directory, { recursive: true, force: true, maxRetries: 10 })
  }
}

async function onServer<T>(
  server: PostgresServer,
  work: (query: (text: string) => Promise<pg.QueryResultRow[]>) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  try {
    return await work(async (text) => (await client.query<pg.QueryResultRow>(text)).rows)
  } finally {
    await client.end()
  }
}
