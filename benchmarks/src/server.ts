import { startPostgres, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import type { BenchOptions } from './options.ts'

/** What a benchmark works with. */
export interface Bench {
  readonly options: BenchOptions
  readonly server: PostgresServer
  /** Told what happens, line by line, on stderr. */
  readonly progress: (line: string) => void
}

/**
 * Starts the server that is measured: commits reach the disk, and no checkpoint falls into one measurement and not
 * into the other.
 *
 * @param settings - beside those that all benchmarks have.
 * @param commitDelay - how much longer a commit takes than the disk needs, in milliseconds.
 */
export async function startServer(
  settings: Readonly<Record<string, string>>,
  commitDelay: number,
): Promise<PostgresServer> {
  const server = await startPostgres({
    // Also where tests are to use another one.
    source: 'embedded',
    durable: true,
    settings: {
      synchronous_commit: 'on',
      shared_buffers: '512MB',
      max_wal_size: '8GB',
      checkpoint_timeout: '1h',
      max_connections: '400',
      ...settings,
    },
  })
  try {
    if (commitDelay > 0) await delayCommits(server, commitDelay)
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

/**
 * Makes every commit wait so long before it is flushed, as on a slower disk; on connections that are open already
 * too, from their next statement on.
 */
export async function delayCommits(server: PostgresServer, milliseconds: number): Promise<void> {
  const microseconds = Math.round(milliseconds * 1000)
  const client = new pg.Client({ connectionString: server.url() })
  await client.connect()
  try {
    await client.query(`ALTER SYSTEM SET commit_delay = ${microseconds}`)
    // With no siblings required, every commit waits.
    await client.query('ALTER SYSTEM SET commit_siblings = 0')
    await client.query('SELECT pg_reload_conf()')
    for (;;) {
      const { rows } = await client.query<{ now: string }>(
        `SELECT setting AS now FROM pg_settings WHERE name = 'commit_delay'`,
      )
      if (Number(rows[0]?.now) === microseconds) return
    }
  } finally {
    await client.end()
  }
}
