import { once } from 'node:events'
import { Option, type Command } from 'commander'
import {
  createHealth,
  migrateUp,
  type App,
  type HealthOptions,
  type Logger,
  type Runner,
} from 'tidemark'
import { durationArgument, portArgument } from '../arguments/arguments.ts'
import { running, type Context } from '../command-run.ts'
import { exitCode } from '../exit-code.ts'
import { HealthServer } from '../health-server.ts'
import { workerLogger, type LogFormat } from '../output/log.ts'
import type { Place } from '../session/session.ts'
import { startTelemetry } from '../telemetry.ts'

interface Options {
  readonly migrate?: boolean
  readonly log: LogFormat
  readonly drainTimeout: number
  readonly healthPort?: number
  readonly healthHost: string
}

/** `tidemark worker` */
export function addWorker(parent: Command, context: Context): void {
  parent
    .command('worker')
    .description(
      "Run the config's listeners and projections. SIGTERM and SIGINT let the batches under way finish; a second one does not wait. An error that nothing catches stops it in the same way.",
    )
    .option('--migrate', 'apply pending migrations first')
    .addOption(
      new Option('--log <format>', 'how to log on stderr')
        .choices(['json', 'pretty'])
        .default('json'),
    )
    .addOption(
      new Option('--drain-timeout <duration>', 'how long batches under way may take after a signal')
        .argParser(durationArgument)
        .default(30_000, '30s'),
    )
    .option(
      '--health-port <port>',
      'serve GET /healthz (it lives) and GET /readyz (it can work, or why it cannot) over HTTP; 0 chooses a port',
      portArgument,
    )
    .option('--health-host <host>', 'the address to serve them on', '0.0.0.0')
    .action(
      running<Options, []>(context, async ({ options, session, io }) => {
        const logger = workerLogger(io, options.log)
        // Before the config: what its modules make may ask for a tracer when they are loaded.
        await using _ = await startTelemetry(process.env, logger)
        const app = await session.configuredApp(logger)
        let runner: Runner | undefined
        const broken = new AbortController()
        io.onUncaught?.((error) => {
          if (runner === undefined) {
            logger.error({ err: error }, 'an error was thrown where nothing could catch it')
          } else runner.uncaught(error)
          broken.abort()
        })
        const stopped = AbortSignal.any([io.stopSignal(), broken.signal])
        // Before the worker: it lives while it migrates and starts.
        await using health = await serveHealth(options, {
          app,
          runner: () => runner,
          signal: stopped,
        })
        if (health !== undefined) logger.info({ port: health.port }, 'its health is served')
        if (options.migrate === true) await migrate(await session.place(), logger)
        const { drainTimeout } = options
        await using started = await app.start({ handleSignals: false, drainTimeout })
        runner = started
        const fields = { process: started.id, pid: process.pid, schema: app.schema }
        logger.info(fields, 'the worker runs')
        io.ready?.()
        if (!stopped.aborted) await once(stopped, 'abort')
        logger.info({ process: started.id }, 'the worker stops: batches under way may finish')
        await started.stop()
        logger.info({ process: started.id }, 'the worker has stopped')
        return broken.signal.aborted ? exitCode.uncaught : undefined
      }),
    )
}

/** Serves the health of the process, if that is wanted. */
async function serveHealth(
  { healthPort, healthHost }: Options,
  { app, ...of }: { readonly app: App } & Required<Pick<HealthOptions, 'runner' | 'signal'>>,
): Promise<HealthServer | undefined> {
  if (healthPort === undefined) return undefined
  return HealthServer.listen(createHealth(app, of), healthPort, healthHost)
}

async function migrate(place: Place, logger: Logger): Promise<void> {
  const { schema, applied } = await migrateUp(place)
  for (const { version, name } of applied) {
    logger.info({ schema, version }, `applied migration ${version} ${name}`)
  }
}
