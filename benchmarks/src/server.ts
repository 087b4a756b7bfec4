import { startPostgres, type PostgresServer } from '@tidemark/testing'
import type { BenchOptions } from './options.ts'

/** What a benchmark works with. */
export interface Bench {
  readonly options: BenchOptions
  readonly server: PostgresServer
  readonly progress: (line: string) => void
}

/**
 * Starts the server that is measured: commits reach the disk, and no checkpoint falls into one measurement and not
 * into the other.
 */
export async function startServer({ commitDelay, names }: BenchOptions): Promise<PostgresServer> {
  return startPostgres({
    durable: true,
    settings: {
      synchronous_commit: 'on',
      shared_buffers: '512MB',
      max_wal_size: '8GB',
      checkpoint_timeout: '1h',
      max_connections: '200',
      // The server's own record of when each transaction committed.
      track_commit_timestamp: names.includes('latency') ? 'on' : 'off',
      // With no siblings required, every commit waits this long before it is flushed.
      ...(commitDelay === 0
        ? {}
        : { commit_delay: String(Math.round(commitDelay * 1000)), commit_siblings: '0' }),
    },
  })
}
