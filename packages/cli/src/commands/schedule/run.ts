import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { followJob } from '../../follow-job.ts'
import { toJson } from '../../output/output.ts'

interface Options {
  readonly follow?: boolean
}

/** `tidemark schedule run` */
export function addScheduleRun(parent: Command, context: Context): void {
  parent
    .command('run')
    .description(
      'Spawn the job of a schedule now, beside its ticks. Needs its definition from the config.',
    )
    .argument('<name>', 'the schedule')
    .option('--follow', 'show the progress on stderr until the job has finished, then its output')
    .action(
      running<Options, [string]>(context, async ({ options, session, output, io }, name) => {
        const app = await session.configuredApp()
        const { id, duplicate } = await app.jobs.schedules.run(name, { triggeredBy: 'cli' })
        if (options.follow === true) {
          const answer = await followJob(app, id, output, io.stopSignal())
          output.result({ id, duplicate, output: answer ?? null }, () =>
            answer === undefined ? `${id} has completed.` : toJson(answer, 2),
          )
          return
        }
        output.result({ name, id, duplicate }, () =>
          duplicate ? `${id} is not finished and has its unique key.` : `Spawned ${id}.`,
        )
      }),
    )
}
