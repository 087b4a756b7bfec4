import type { ServiceSettings } from '@tidemark/stores/service'
import { Option, type Command } from 'commander'
import { CliError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { workerLogger, type LogFormat } from '../../output/log.ts'

interface Options extends Record<string, unknown> {
  readonly log: LogFormat
}

/** What the flags are for. `--schema` and `--database-url` are those of every command. */
const flags: Readonly<Record<Exclude<keyof ServiceSettings, 'schema'>, readonly [string, string]>> =
  {
    socket: ['--socket <path>', 'the path of the socket, in a folder that exists'],
    backend: ['--backend <name>', 'memory, postgres, redis, s3 or dynamodb (default: memory)'],
    url: ['--url <url>', 'of Redis, of Postgres, of the bucket, or of another DynamoDB'],
    prefix: ['--prefix <text>', 'what all keys or names of objects begin with'],
    table: ['--table <name>', 'the table of DynamoDB (default: tidemark-states)'],
    name: ['--name <text>', 'keeps several stores of one database apart'],
    region: ['--region <name>', 'the region of the bucket or the table'],
    timeout: [
      '--timeout <duration>',
      'how long an operation of the backend may take (default: 5s)',
    ],
    remember: [
      '--remember <duration>',
      "how long a state's token is remembered after its end (default: 1d)",
    ],
    sweepEvery: ['--sweep-every <duration>', 'how often what has ended is removed (default: 1m)'],
    lineBytes: ['--line-bytes <count>', 'the most bytes of a request (default: 1048576)'],
    clients: ['--clients <count>', 'the most clients at once (default: 256)'],
    requestsPerSecond: [
      '--requests-per-second <count>',
      'the most requests of one client in a second (default: 10000)',
    ],
    pipelined: [
      '--pipelined <count>',
      'the most requests of one client that are worked on at once (default: 64)',
    ],
    stallTimeout: [
      '--stall-timeout <duration>',
      'after how long a client that has stalled is sent away (default: 30s)',
    ],
  }

/** `tidemark state serve` */
export function addStateServe(parent: Command, context: Context): void {
  const command = parent
    .command('serve')
    .description(
      'Serve a state store over a Unix socket, one JSON message a line, until SIGTERM or SIGINT; requests under way are answered first. Each setting comes from a flag, else from TIDEMARK_STATE_… in the environment, else from the YAML file that --config names. It comes with @tidemark/stores.',
    )
    .addOption(
      new Option('--log <format>', 'how to log on stderr')
        .choices(['json', 'pretty'])
        .default('json'),
    )
  for (const [flag, about] of Object.values(flags)) command.option(flag, about)
  command.action(
    running<Options, []>(context, async ({ options, io }) => {
      const { runService } = await loadService()
      const { config, databaseUrl, schema } = options
      const given = Object.keys(flags).flatMap((name) =>
        options[name] === undefined ? [] : [[name, options[name]]],
      )
      await runService({
        flags: {
          ...(schema === undefined ? {} : { schema }),
          ...(Object.fromEntries(given) as ServiceSettings),
        },
        env: databaseUrl === undefined ? io.env : { ...io.env, DATABASE_URL: databaseUrl },
        ...(typeof config === 'string' ? { file: config } : {}),
        logger: workerLogger(io, options.log),
        signal: io.stopSignal(),
        ready: () => io.ready?.(),
      })
    }),
  )
}

async function loadService(): Promise<typeof import('@tidemark/stores/service')> {
  try {
    return await import('@tidemark/stores/service')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes('@tidemark/stores')) throw cause
    throw new CliError('the state service is in @tidemark/stores, which is not installed', {
      hint: 'Run `npm install @tidemark/stores`.',
      cause,
    })
  }
}
