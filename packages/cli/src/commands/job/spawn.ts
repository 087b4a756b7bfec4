import { Option, type Command } from 'commander'
import { parseJson as parseExactly, type App, type JobHandle, type SpawnOptions } from 'tidemark'
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
  readonly debounce?: number
  readonly throttle?: number
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
    .option(
      '--debounce <duration>',
      'run once, with the newest input, when its unique key was quiet for so long',
      durationArgument,
    )
    .option(
      '--throttle <duration>',
      'run once in so long, with the newest input of its unique key',
      durationArgument,
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
          const unmet = validated
            ? undefined
            : (['onDuplicate', 'debounce', 'throttle'] as const).find(
                (option) => options[option] !== undefined,
              )
          if (unmet !== undefined) {
            throw usageError(
              `--${unmet === 'onDuplicate' ? 'on-duplicate' : unmet} needs the definition of the job, and no config was loaded`,
              'Give --config, or leave the option out: the job that has the key is kept.',
            )
          }
          const spawned = validated
            ? await app.jobs.spawnJson(name, input, spawnOptions(options))
            : await spawnBySql(app, name, text, options)
          const { id, duplicate, outcome } = spawned
          if (!validated) {
            const { yellow } = output.stderrColors
            output.note(
              `${yellow('warning:')} no config was loaded: neither the name nor the input was checked`,
            )
          }
          if (options.follow === true) {
            const answer = await followJob(app, id, output, io.stopSignal())
            output.result({ id, duplicate, outcome, output: answer ?? null }, () =>
              answer === undefined ? `${id} has completed.` : toJson(answer, 2),
            )
            return
          }
          output.result({ id, duplicate, outcome, validated }, () => said[outcome](name, id))
        },
      ),
    )
}

const said = {
  spawned: (name: string, id: string) => `Spawned ${name} as ${id}.`,
  kept: (_: string, id: string) => `${id} was there already.`,
  replaced: (name: string, id: string) => `Replaced ${id}, a ${name} that had not begun.`,
  follows: (name: string, id: string) => `Spawned ${name} as ${id}: it follows the one that runs.`,
} as const

function spawnOptions(options: Options): SpawnOptions {
  const { follow: _, ...rest } = options
  const names = [
    'delay',
    'runAt',
    'priority',
    'queue',
    'uniqueKey',
    'onDuplicate',
    'debounce',
    'throttle',
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
): Promise<Pick<JobHandle, 'id' | 'duplicate' | 'outcome'>> {
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
    const duplicate = row?.id !== id || before.length > 0
    return { id: row?.id ?? id, duplicate, outcome: duplicate ? 'kept' : 'spawned' }
  })
}
