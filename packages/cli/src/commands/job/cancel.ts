import type { Command } from 'commander'
import {
  steerJobs,
  withJobChoice,
  type JobChoiceOptions,
  type JobSteering,
} from '../../arguments/job-choice.ts'
import { running, type Context } from '../../command-run.ts'

const cancel: JobSteering = {
  verb: 'cancel',
  done: 'cancelled',
  possible: ['scheduled', 'queued', 'running', 'paused'],
  asks: true,
  steer: (app, id) => app.jobs.cancel(id),
}

/** `tidemark job cancel` */
export function addJobCancel(parent: Command, context: Context): void {
  withJobChoice(
    parent
      .command('cancel')
      .description(
        'Cancel jobs. One that is running is asked to stop, and is cancelled when it does.',
      ),
    cancel.possible,
  ).action(
    running<JobChoiceOptions, [readonly string[]]>(
      context,
      async ({ options, session, output }, ids) =>
        steerJobs(await session.app(), ids, options, cancel, output),
    ),
  )
}
