import type { Command } from 'commander'
import {
  steerJobs,
  withJobChoice,
  type JobChoiceOptions,
  type JobSteering,
} from '../../arguments/job-choice.ts'
import { running, type Context } from '../../command-run.ts'

const retry: JobSteering = {
  verb: 'retry',
  done: 'queued again',
  possible: ['failed', 'cancelled'],
  steer: (app, id) => app.jobs.retry(id, { triggeredBy: 'cli' }),
}

/** `tidemark job retry` */
export function addJobRetry(parent: Command, context: Context): void {
  withJobChoice(
    parent
      .command('retry')
      .description('Run failed or cancelled jobs again; they keep their steps and their state.'),
    retry.possible,
  ).action(
    running<JobChoiceOptions, [readonly string[]]>(
      context,
      async ({ options, session, output }, ids) =>
        steerJobs(await session.app(), ids, options, retry, output),
    ),
  )
}
