import { Option, type Command } from 'commander'
import { jobStatuses, type JobStatus } from 'tidemark'
import { countArgument, timeArgument, uuidArgument } from '../../arguments/arguments.ts'
import { inputOf } from '../../arguments/job-choice.ts'
import { running, type Context } from '../../command-run.ts'
import { jobColumns } from '../../output/job-table.ts'

interface Options {
  readonly status?: readonly JobStatus[]
  readonly name?: string
  readonly queue?: string
  readonly uniqueKey?: string
  readonly concurrencyKey?: string
  readonly parent?: string
  readonly since?: Date
  readonly retrying?: boolean
  readonly path?: string
  readonly equals?: string
  readonly after?: string
  readonly limit: number
}

/** `tidemark job list` */
export function addJobList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description('List jobs, the newest first.')
    .addOption(
      new Option('--status <status...>', 'only those in this status').choices([...jobStatuses]),
    )
    .option('--name <name>', 'only those of this type')
    .option('--queue <queue>', 'only those in this queue')
    .option('--unique-key <key>', 'only those with this unique key')
    .option('--concurrency-key <key>', 'only those with this concurrency key')
    .option('--parent <id>', 'only those that this job spawned', uuidArgument)
    .option('--since <time>', 'only those spawned then or later', timeArgument)
    .option('--retrying', 'only those that have failed and are tried again')
    .option('--path <path>', 'only those whose input has something there, as in customer.id')
    .option('--equals <text>', 'with --path: only those that have this text there')
    .option('--after <id>', 'only those before this job: the last one of a page', uuidArgument)
    .option('--limit <count>', 'the most jobs', countArgument, 50)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const { status, name, queue, uniqueKey, concurrencyKey, parent: by, since } = options
        const app = await session.app()
        const jobs = await app.jobs.list({
          limit: options.limit,
          ...(status === undefined ? {} : { status }),
          ...(name === undefined ? {} : { name }),
          ...(queue === undefined ? {} : { queue }),
          ...(uniqueKey === undefined ? {} : { uniqueKey }),
          ...(concurrencyKey === undefined ? {} : { concurrencyKey }),
          ...(by === undefined ? {} : { parent: by }),
          ...(since === undefined ? {} : { since }),
          ...(options.retrying === undefined ? {} : { retrying: true }),
          ...inputOf(options),
          ...(options.after === undefined ? {} : { after: options.after }),
        })
        output.list(jobs, jobColumns(output), 'There are no such jobs.')
        const last = jobs.at(-1)
        if (!output.json && last !== undefined && jobs.length === options.limit) {
          output.note(`There may be more: --after ${last.id}`)
        }
      }),
    )
}
