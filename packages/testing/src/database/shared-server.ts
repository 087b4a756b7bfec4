import type { Cluster } from '../postgres/cluster.ts'
import { LocalServer } from '../postgres/local-server.ts'
import type { PostgresServer } from '../postgres/postgres-server.ts'
import { offerPristineCluster } from '../postgres/pristine-cluster.ts'
import { startPostgres } from '../postgres/start-postgres.ts'

/** Carries the URL of the server of a test run to its worker processes. */
const SHARED_URL = 'TIDEMARK_TEST_SHARED_URL'

let started: Promise<PostgresServer> | undefined

/**
 * Starts the server that all test databases of a run are made on, and tells the child processes of
 * this process where it is. For a test runner's set-up; whoever calls it disposes of the result.
 */
export async function startSharedServer(): Promise<PostgresServer> {
  const server = await start(async (cluster) => {
    offerPristineCluster(await cluster.keepPristine())
  })
  process.env[SHARED_URL] = server.url()
  return server
}

/**
 * The server that test databases are made on: the run's, or else one that this process starts on its
 * first use and keeps until it ends.
 */
export async function sharedServerUrl(): Promise<string> {
  const url = process.env[SHARED_URL]
  if (url !== undefined && url !== '') return url
  started ??= start()
  return (await started).url()
}

function start(beforeFirstStart?: (cluster: Cluster) => Promise<void>): Promise<PostgresServer> {
  const url = process.env['TIDEMARK_TEST_DATABASE_URL']
  if (url !== undefined && url !== '') return startPostgres({ source: 'url' })
  const settings = {
    // Test files run side by side, each with pools of its own.
    max_connections: '200',
    // Publishers may be prepared transactions, which a server refuses by default.
    max_prepared_transactions: '20',
  }
  return LocalServer.start({ settings }, beforeFirstStart)
}
