import type { Command } from 'commander'
import {
  steerJobs,
  withJobChoice,
  type JobChoiceOptions,
  type JobSteering,
} from '../../arguments/job-choice.ts'
import { running, type Context } from '../../command-run.ts'

const remove: JobSteering = {
  verb: 'delete',
  done: 'deleted',
  possible: ['completed', 'failed', 'cancelled'],
  steer: async (app, id) => {
    await app.jobs.delete(id)
    return 'completed'
  },
}

/** `tidemark job delete` */
export function addJobDelete(parent: Command, context: Context): void {
  withJobChoice(
    parent
      .command('delete')
      .description('Delete finished jobs with their attempts, steps, logs and outputs.'),
    remove.possible,
  ).action(
    running<JobChoiceOptions, [readonly string[]]>(
      context,
      async ({ options, session, output }, ids) =>
        steerJobs(await session.app(), ids, options, remove, output),
    ),
  )
}
