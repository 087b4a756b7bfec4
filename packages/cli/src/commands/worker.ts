import { once } from 'node:events'
import { Option, type Command } from 'commander'
import { migrateUp, type Logger } from 'tidemark'
import { durationArgument } from '../arguments/arguments.ts'
import { running, type Context } from '../command-run.ts'
import { workerLogger, type LogFormat } from '../output/log.ts'
import type { Place } from '../session/session.ts'
import { startTelemetry } from '../telemetry.ts'

interface Options {
  readonly migrate?: boolean
  readonly log: LogFormat
  readonly drainTimeout: number
}

/** `tidemark worker` */
export function addWorker(parent: Command, context: Context): void {
  parent
    .command('worker')
    .description(
      "Run the config's listeners and projections. SIGTERM and SIGINT let the batches under way finish; a second one does not wait.",
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
    .action(
      running<Options, []>(context, async ({ options, session, io }) => {
        const logger = workerLogger(io, options.log)
        // Before the config: what its modules make may ask for a tracer when they are loaded.
        await using _ = await startTelemetry(process.env, logger)
        const app = await session.configuredApp(logger)
        const stopped = io.stopSignal()
        if (options.migrate === true) await migrate(await session.place(), logger)
        const { drainTimeout } = options
        await using runner = await app.start({ handleSignals: false, drainTimeout })
        const fields = { process: runner.id, pid: process.pid, schema: app.schema }
        logger.info(fields, 'the worker runs')
        io.ready?.()
        if (!stopped.aborted) await once(stopped, 'abort')
        logger.info({ process: runner.id }, 'the worker stops: batches under way may finish')
        await runner.stop()
        logger.info({ process: runner.id }, 'the worker has stopped')
      }),
    )
}

async function migrate(place: Place, logger: Logger): Promise<void> {
  const { schema, applied } = await migrateUp(place)
  for (const { version, name } of applied) {
    logger.info({ schema, version }, `applied migration ${version} ${name}`)
  }
}
