import { rejectUnknownOptions, TestingError } from '../testing-error.ts'
import { ContainerServer } from './container-server.ts'
import { ExternalServer } from './external-server.ts'
import { LocalServer } from './local-server.ts'
import type { PostgresOptions, PostgresServer } from './postgres-server.ts'

const known: Record<keyof PostgresOptions, true> = {
  source: true,
  binaries: true,
  settings: true,
  dataDirectory: true,
  durable: true,
  port: true,
  startTimeout: true,
  image: true,
}

/**
 * Starts a real Postgres, also as root, in about a second; it leaves nothing behind, however this
 * process ends.
 *
 * @example
 * ```ts
 * await using server = await startPostgres({ settings: { max_prepared_transactions: '10' } })
 * const client = new pg.Client({ connectionString: server.url() })
 * ```
 *
 * @throws {@link TestingError} with the end of the server's log and a remedy when it does not start.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  rejectUnknownOptions('startPostgres', options, known)
  const url = process.env['TIDEMARK_TEST_DATABASE_URL']
  const hasUrl = url !== undefined && url !== ''
  switch (options.source ?? (hasUrl ? 'url' : 'embedded')) {
    case 'embedded':
      return LocalServer.start(options)
    case 'testcontainers':
      return ContainerServer.start(options)
    case 'url':
      if (hasUrl) return ExternalServer.connect(url, options)
      throw new TestingError(
        'TIDEMARK_TESTING_UNSUPPORTED',
        "source: 'url' needs TIDEMARK_TEST_DATABASE_URL",
        'Set it to the connection string of a superuser, as postgres://postgres@127.0.0.1/postgres.',
      )
  }
}
