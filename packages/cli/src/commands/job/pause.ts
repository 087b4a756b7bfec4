import type { Command } from 'commander'
import {
  steerJobs,
  withJobChoice,
  type JobChoiceOptions,
  type JobSteering,
} from '../../arguments/job-choice.ts'
import { running, type Context } from '../../command-run.ts'

const pause: JobSteering = {
  verb: 'pause',
  done: 'paused',
  possible: ['scheduled', 'queued', 'running'],
  asks: true,
  steer: (app, id) => app.jobs.pause(id),
}

const resume: JobSteering = {
  verb: 'resume',
  done: 'resumed',
  possible: ['paused', 'running'],
  applies: ({ status, requested }) => status === 'paused' || requested === 'pause',
  steer: (app, id) => app.jobs.resume(id),
}

/** `tidemark job pause` */
export function addJobPause(parent: Command, context: Context): void {
  withJobChoice(
    parent
      .command('pause')
      .description(
        'Pause jobs until they are resumed. One that is running is asked to stop, and goes on from its last checkpoint.',
      ),
    pause.possible,
  ).action(
    running<JobChoiceOptions, [readonly string[]]>(
      context,
      async ({ options, session, output }, ids) =>
        steerJobs(await session.app(), ids, options, pause, output),
    ),
  )
}

/** `tidemark job resume` */
export function addJobResume(parent: Command, context: Context): void {
  withJobChoice(
    parent
      .command('resume')
      .description('Let paused jobs go on, and those that were asked to pause.'),
    resume.possible,
  ).action(
    running<JobChoiceOptions, [readonly string[]]>(
      context,
      async ({ options, session, output }, ids) =>
        steerJobs(await session.app(), ids, options, resume, output),
    ),
  )
}
