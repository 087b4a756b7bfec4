import { dirname, resolve } from 'node:path'
import type { Command } from 'commander'
import { collected, countArgument } from '../arguments/arguments.ts'
import { running, type Context } from '../command-run.ts'
import type { CliIo } from '../io.ts'
import { plural } from '../output/output.ts'
import { runBefore } from '../project/dev-before.ts'
import { startDevDatabase, type DevDatabase } from '../project/dev-database.ts'
import { DevWorker } from '../project/dev-worker.ts'
import { SourceWatcher } from '../project/watch-sources.ts'
import { requireConfigPath } from '../session/config.ts'
import type { GlobalOptions } from '../session/session.ts'

interface Options extends GlobalOptions {
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
      "Start a Postgres, migrate it, run the config's listeners and projections, and start them again when a source file changes. Prints the URL of the database once that is ready; Ctrl-C ends all of it and leaves nothing behind. The server comes with @tidemark/testing; --database-url uses another.",
    )
    .option('--data <directory>', 'keep the data there between runs (default: nowhere)')
    .option('--port <port>', 'the port of the server (default: a free one)', countArgument)
    .option(
      '--before <command>',
      'run this in a shell before the worker, each time it starts: your own migrations; it has DATABASE_URL',
    )
    .option('--watch <directory>', 'watch this too; may be given several times', collected)
    .action(
      running<Options, []>(context, async ({ options, output, io }) => {
        const config = requireConfigPath(io, options.config)
        const stopped = io.stopSignal()
        const stop = new Promise<void>((settle) => {
          stopped.addEventListener('abort', () => settle(), { once: true })
        })
        await using database = await openDatabase(io, options)
        let changed = Promise.withResolvers<readonly string[]>()
        using watcher = new SourceWatcher({
          roots: [dirname(config), ...(options.watch ?? []).map((path) => resolve(io.cwd, path))],
          ignored: options.data === undefined ? undefined : resolve(io.cwd, options.data),
          onChange: (paths) => changed.resolve(paths),
        })
        output.note(`The database is at ${database.url}`)
        output.note(`Watching ${plural(watcher.directories, 'directory', 'directories')}.`)
        let printed = false
        const printUrl = (): void => {
          if (!printed) output.item({ url: database.url }, () => database.url)
          printed = true
        }
        while (!stopped.aborted) {
          if (options.before !== undefined) {
            const problem = await runBefore(io, options.before, database.url, stopped)
            if (problem !== undefined) {
              output.note(`${problem}; the worker starts when a file changes.`)
              await Promise.race([stop, changed.promise])
              if (stopped.aborted) break
              output.note(`Changed: ${(await changed.promise).join(', ')}`)
              changed = Promise.withResolvers()
              continue
            }
          }
          const worker = new DevWorker(io, database.url, flagsOf(config, options))
          void worker.ready.then(printUrl)
          const how = await Promise.race([stop, changed.promise, worker.ended])
          if (typeof how === 'string') {
            output.note(`The worker ended with ${how}; it starts again when a file changes.`)
            await Promise.race([stop, changed.promise])
          } else {
            await worker.stop()
          }
          if (stopped.aborted) break
          output.note(`Changed: ${(await changed.promise).join(', ')}`)
          changed = Promise.withResolvers()
        }
      }),
    )
}

async function openDatabase(io: CliIo, options: Options): Promise<DevDatabase> {
  const { databaseUrl: url, data, port } = options
  if (url !== undefined) return { url, [Symbol.asyncDispose]: async () => {} }
  return startDevDatabase({
    ...(data === undefined ? {} : { data: resolve(io.cwd, data) }),
    ...(port === undefined ? {} : { port }),
  })
}

function flagsOf(config: string, { schema, verbose }: Options): string[] {
  return [
    '--config',
    config,
    ...(schema === undefined ? [] : ['--schema', schema]),
    ...(verbose === true ? ['--verbose'] : []),
  ]
}
