import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { collected, portArgument } from '../arguments/arguments.ts'
import { usageError } from '../cli-error.ts'
import { running, type Context, type Run } from '../command-run.ts'
import { Output, plural } from '../output/output.ts'
import { announceDev, devDataIn } from '../project/dev-address.ts'
import { runBefore } from '../project/dev-before.ts'
import { givenDatabase, startDevDatabase, type DevDatabase } from '../project/dev-database.ts'
import { DevScreen, lookForDev } from '../project/dev-screen.ts'
import { DevSources } from '../project/dev-sources.ts'
import { DevWorker } from '../project/dev-worker.ts'
import { requireConfigPath } from '../session/config.ts'
import { Session, type GlobalOptions } from '../session/session.ts'

interface Options extends GlobalOptions {
  readonly fresh?: boolean
  readonly data?: string
  readonly port?: number
  readonly watch?: readonly string[]
  readonly before?: string
}

/** `tidemark dev` */
export function addDev(parent: Command, context: Context): void {
  parent
    .command('dev')
    .description(
      "Start a Postgres, migrate it, run the config's listeners, projections and jobs, and start them again when a file changes that they are made of. Prints the URL of the database once that is ready; the other commands find it while it runs. Its data and its port are kept in .tidemark beside the config. On a terminal it shows listeners, jobs and the last errors. The server comes with @tidemark/testing; --database-url uses another. Ctrl-C ends all of it.",
    )
    .option('--fresh', 'begin with an empty database, and keep nothing of it')
    .option(
      '--data <directory>',
      'keep the data there (default: .tidemark/postgres beside the config)',
    )
    .option(
      '--port <port>',
      'the port of the server (default: that of the last time)',
      portArgument,
    )
    .option(
      '--before <command>',
      'run this in a shell before the worker, each time it starts: your own migrations; it has DATABASE_URL',
    )
    .option('--watch <directory>', 'watch this too; may be given several times', collected)
    .action(
      running<Options, []>(context, async (run) => {
        const { options, output, io } = run
        const config = requireConfigPath(io, options.config)
        const home = dirname(config)
        const stopped = io.stopSignal()
        await using database = await openDatabase(run, home)
        const { url, printed } = database
        using _ = announceDev(home, { url, pid: process.pid })
        await using session = new Session(io, { ...options, databaseUrl: url, config: false })
        using screen = new DevScreen(io, {
          url: printed,
          look: async () => lookForDev(await session.app()),
        })
        using sources = new DevSources({
          home,
          watched: (options.watch ?? []).map((path) => resolve(io.cwd, path)),
          before: options.before,
          ignored: options.data === undefined ? undefined : resolve(io.cwd, options.data),
        })
        const shown = new Output(screen.io, output.json)
        shown.note(`The database is at ${printed}`)
        shown.note(`Watching ${plural(sources.directories, 'directory', 'directories')}.`)
        let isPrinted = false
        const printUrl = (): void => {
          if (!isPrinted) output.item({ url: printed }, () => printed)
          isPrinted = true
        }
        const stop = new Promise<void>((settle) => {
          stopped.addEventListener('abort', () => settle(), { once: true })
        })
        while (!stopped.aborted) {
          // What has changed until now it has, whatever the worker before it was made of.
          sources.concernsWorker = () => true
          const problem =
            (options.before === undefined
              ? undefined
              : await runBefore(screen.io, options.before, url, stopped)) ?? (await runWorker())
          if (problem !== undefined && !stopped.aborted) {
            shown.note(`${problem}; the worker starts when a file changes.`)
          }
          await Promise.race([stop, sources.change])
          if (!stopped.aborted) shown.note(`Changed: ${sources.take().join(', ')}`)
        }

        /** Runs a worker until a change concerns it; answers how it ended, if it did by itself. */
        async function runWorker(): Promise<string | undefined> {
          const worker = new DevWorker(screen.io, url, flagsOf(config, options))
          sources.concernsWorker = (change) => worker.concerns(change)
          void worker.ready.then(printUrl)
          const how = await Promise.race([stop, sources.change, worker.ended])
          if (typeof how === 'string') return `The worker ended with ${how}`
          await worker.stop()
          return undefined
        }
      }),
    )
}

async function openDatabase(
  { options, io, output }: Run<Options>,
  home: string,
): Promise<DevDatabase> {
  const { databaseUrl: url, fresh, data, port } = options
  if (url !== undefined) return givenDatabase(url)
  if (data !== undefined) {
    if (fresh !== true) return startDevDatabase({ home, port, data: resolve(io.cwd, data) })
    throw usageError('--fresh keeps nothing, and --data says where to keep it', 'Leave one out.')
  }
  try {
    return await startDevDatabase({
      home,
      port,
      data: fresh === true ? undefined : devDataIn(home),
    })
  } catch (error) {
    // The server's account cannot go where the project is: it has one of its own when root starts it.
    if ((error as { readonly code?: unknown }).code !== 'TIDEMARK_TESTING_DIRECTORY') throw error
    output.note(`The data is not kept: ${(error as Error).message}`)
    return startDevDatabase({ home, port, data: undefined })
  }
}

function flagsOf(config: string, { schema, verbose }: Options): string[] {
  return [
    '--config',
    config,
    ...(schema === undefined ? [] : ['--schema', schema]),
    ...(verbose === true ? ['--verbose'] : []),
  ]
}
