import { Option, type Command } from 'commander'
import { parseJson as parseExactly, type App, type SpawnOptions } from 'tidemark'
import {
  durationArgument,
  priorityArgument,
  timeArgument,
  uuidArgument,
} from '../../arguments/arguments.ts'
import { parseJson } from '../../arguments/json-argument.ts'
import { usageError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { followJob } from '../../follow-job.ts'
import { toJson } from '../../output/output.ts'
import { reading } from '../../output/rows.ts'

interface Options {
  readonly delay?: number
  readonly runAt?: Date
  readonly priority?: number
  readonly queue?: string
  readonly uniqueKey?: string
  readonly onDuplicate?: 'keep' | 'replace' | 'fail'
  readonly concurrencyKey?: string
  readonly id?: string
  readonly follow?: boolean
}

/** `tidemark job spawn` */
export function addJobSpawn(parent: Command, context: Context): void {
  parent
    .command('spawn')
    .description(
      "Spawn a job. The config's definition checks the input; without a config its first attempt does.",
    )
    .argument('<name>', 'the type of the job')
    .argument('[input]', 'the input as JSON; - reads it from standard input', '{}')
    .option('--delay <duration>', 'how long it waits at least', durationArgument)
    .option('--run-at <time>', 'when it runs at the earliest', timeArgument)
    .option(
      '--priority <priority>',
      'lower runs first: a number, or urgent, high, normal, low, idle',
      priorityArgument,
    )
    .option('--queue <queue>', "the queue (default: the definition's, or default)")
    .option('--unique-key <key>', 'at most one unfinished job has it')
    .addOption(
      new Option(
        '--on-duplicate <policy>',
        'what happens when an unfinished job has the unique key (default: keep)',
      ).choices(['keep', 'replace', 'fail']),
    )
    .option('--concurrency-key <key>', 'jobs with the same key do not run side by side')
    .option('--id <id>', 'its id: spawning it again changes nothing', uuidArgument)
    .option('--follow', 'show its progress on stderr until it has finished, then its output')
    .action(
      running<Options, [string, string]>(
        context,
        async ({ options, session, output, io }, name, given) => {
          const text = given === '-' ? await io.stdin() : given
          const input = parseJson('the input', text, parseExactly)
          const validated = (await session.config()) !== undefined
          const app = await session.app()
          if (!validated && options.onDuplicate !== undefined) {
            throw usageError(
              '--on-duplicate needs the definition of the job, and no config was loaded',
              'Give --config, or leave the option out: the job that has the key is kept.',
            )
          }
          const spawned = validated
            ? await app.jobs.spawnJson(name, input, spawnOptions(options))
            : await spawnBySql(app, name, text, options)
          const { id, duplicate } = spawned
          if (!validated) {
            const { yellow } = output.stderrColors
            output.note(
              `${yellow('warning:')} no config was loaded: neither the name nor the input was checked`,
            )
          }
          if (options.follow === true) {
            const answer = await followJob(app, id, output, io.stopSignal())
            output.result({ id, duplicate, output: answer ?? null }, () =>
              answer === undefined ? `${id} has completed.` : toJson(answer, 2),
            )
            return
          }
          output.result({ id, duplicate, validated }, () =>
            duplicate ? `${id} was there already.` : `Spawned ${name} as ${id}.`,
          )
        },
      ),
    )
}

function spawnOptions(options: Options): SpawnOptions {
  const { follow: _, ...rest } = options
  const names = [
    'delay',
    'runAt',
    'priority',
    'queue',
    'uniqueKey',
    'onDuplicate',
    'concurrencyKey',
    'id',
  ] as const
  // The global options are among them.
  const given = names.filter((name) => rest[name] !== undefined)
  return {
    triggeredBy: 'cli',
    ...Object.fromEntries(given.map((name) => [name, rest[name]])),
  }
}

async function spawnBySql(
  app: App,
  name: string,
  input: string,
  options: Options,
): Promise<{ readonly id: string; readonly duplicate: boolean }> {
  const id = options.id ?? crypto.randomUUID()
  const { delay = null, runAt = null } = options
  const { priority = 0, queue = 'default', uniqueKey = null, concurrencyKey = null } = options
  return reading(app, async (query) => {
    const before = await query(`SELECT FROM "${app.schema}".jobs WHERE id = $1`, [id])
    const [row] = await query<{ id: string }>(
      `SELECT "${app.schema}".spawn(name => $1, input => $2::jsonb, run_at => coalesce($3::timestamptz, now() + $9::float8 * interval '1 ms'), priority => $4, queue => $5,
         unique_key => $6, concurrency_key => $7, triggered_by => 'cli', id => $8) AS id`,
      [name, input, runAt, priority, queue, uniqueKey, concurrencyKey, id, delay],
    )
    return { id: row?.id ?? id, duplicate: row?.id !== id || before.length > 0 }
  })
}
