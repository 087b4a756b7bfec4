import { Option, type Command } from 'commander'
import { isTidemarkError, type App, type JobStatus, type JobView } from 'tidemark'
import { requireConfirmation, usageError } from '../cli-error.ts'
import type { ExitCode } from '../exit-code.ts'
import { exitCode } from '../exit-code.ts'
import { plural, type Output } from '../output/output.ts'
import { countArgument, timeArgument, uuidArgument } from './arguments.ts'

/** How jobs are chosen on the command line. */
export interface JobChoiceOptions {
  readonly name?: string
  readonly queue?: string
  readonly uniqueKey?: string
  readonly concurrencyKey?: string
  readonly parent?: string
  readonly since?: Date
  readonly status?: readonly JobStatus[]
  readonly retrying?: boolean
  readonly path?: string
  readonly equals?: string
  readonly all?: boolean
  readonly limit: number
  readonly yes?: boolean
}

/** What is done to jobs, and to which. */
export interface JobSteering {
  /** `cancel`, and what has become of a job then: `cancelled`. */
  readonly verb: string
  readonly done: string
  /** The statuses in which it can be done. */
  readonly possible: readonly JobStatus[]
  /** Which of those it can be done to. Defaults to all. */
  readonly applies?: (job: JobView) => boolean
  /** Whether one that runs is asked, and does it when it looks. */
  readonly asks?: boolean
  readonly steer: (app: App, id: string) => Promise<JobStatus>
}

/** Adds the arguments and options that choose jobs. */
export function withJobChoice(command: Command, possible: readonly JobStatus[]): Command {
  return command
    .argument('[ids...]', 'the jobs, by their ids', collectIds)
    .option('--name <name>', 'those of this type')
    .option('--queue <queue>', 'those in this queue')
    .option('--unique-key <key>', 'those with this unique key')
    .option('--concurrency-key <key>', 'those with this concurrency key')
    .option('--parent <id>', 'those that this job spawned', uuidArgument)
    .option('--since <time>', 'those spawned then or later', timeArgument)
    .addOption(new Option('--status <status...>', 'those in this status').choices([...possible]))
    .option('--retrying', 'those that have failed and are tried again')
    .option('--path <path>', 'those whose input has something there, as in customer.id')
    .option('--equals <text>', 'with --path: those that have this text there')
    .option('--all', 'all that it can be done to')
    .option('--limit <count>', 'the most, the newest first', countArgument, 1000)
    .option('--yes', 'do it, where jobs are not named by their ids')
}

const choices = [
  'name',
  'queue',
  'uniqueKey',
  'concurrencyKey',
  'parent',
  'since',
  'retrying',
] as const

/** What the input of jobs has to hold. */
export function inputOf({ path, equals }: Pick<JobChoiceOptions, 'path' | 'equals'>): {
  readonly input?: { readonly path: readonly string[]; readonly equals?: string }
} {
  if (path === undefined && equals !== undefined) throw usageError('--equals needs a --path')
  if (path === undefined) return {}
  return { input: { path: path.split('.'), ...(equals === undefined ? {} : { equals }) } }
}

function collectIds(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), uuidArgument(text)]
}

/** Does it to the jobs that the arguments mean, and says what has become of them; never to all by an omission. */
export async function steerJobs(
  app: App,
  ids: readonly string[],
  options: JobChoiceOptions,
  { verb, done, possible, applies, asks, steer }: JobSteering,
  output: Output,
): Promise<ExitCode | undefined> {
  const byIds = ids.length > 0
  const chosen = byIds ? [] : await chosenJobs(app, options, possible)
  const jobs = byIds ? ids.map((id) => ({ id })) : chosen.filter((job) => applies?.(job) ?? true)
  if (!byIds && jobs.length > 0) {
    const more = chosen.length === options.limit ? ', and there may be more: --limit' : ''
    requireConfirmation(options.yes, `this ${verb}s ${plural(jobs.length, 'job')}${more}`)
  }
  const results: { id: string; status: JobStatus | null; error: string | null }[] = []
  for (const { id } of jobs) {
    try {
      results.push({ id, status: await steer(app, id), error: null })
    } catch (error) {
      // One that has finished meanwhile must not keep the others from being dealt with.
      if (!isTidemarkError(error) || (jobs.length === 1 && byIds)) throw error
      results.push({ id, status: null, error: error.message.replace(`${error.code}: `, '') })
    }
  }
  const failed = results.filter(({ error }) => error !== null)
  output.result({ jobs: results }, () => {
    const asked = results.filter(({ status }) => asks === true && status === 'running').length
    const finished = results.length - failed.length - asked
    return [
      ...(finished > 0 || results.length === 0 ? [`${plural(finished, 'job')} ${done}.`] : []),
      ...(asked > 0 ? [`${plural(asked, 'running job')} asked to stop.`] : []),
    ].join('\n')
  })
  for (const { error } of failed) output.note(error ?? '')
  return byIds && failed.length > 0 ? exitCode.failure : undefined
}

async function chosenJobs(
  app: App,
  options: JobChoiceOptions,
  possible: readonly JobStatus[],
): Promise<readonly JobView[]> {
  const { status, limit, all } = options
  const given = choices.filter((choice) => options[choice] !== undefined)
  const input = inputOf(options)
  if (given.length === 0 && status === undefined && options.path === undefined && all !== true) {
    throw usageError(
      'which jobs? Give ids, or --name, --queue, --status or another choice, or --all',
      '`tidemark job list` shows what there is.',
    )
  }
  return app.jobs.list({
    limit,
    status: status ?? possible,
    ...input,
    ...Object.fromEntries(given.map((choice) => [choice, options[choice]])),
  })
}
