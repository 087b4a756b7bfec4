import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'

interface Options {
  readonly type?: boolean
}

/** `tidemark queue pause` */
export function addQueuePause(parent: Command, context: Context): void {
  parent
    .command('pause')
    .description('Let no process claim jobs of a queue, or of a type, until it is resumed.')
    .argument('<name>', 'the queue')
    .option('--type', 'it is the name of a type of job')
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const { pauses } = (await session.app()).jobs
        if (options.type === true) await pauses.pauseType(name, { by: 'cli' })
        else await pauses.pauseQueue(name, { by: 'cli' })
        output.result({ name, status: 'paused' }, () => `${name} is paused.`)
      }),
    )
}

/** `tidemark queue resume` */
export function addQueueResume(parent: Command, context: Context): void {
  parent
    .command('resume')
    .description('Let the jobs of a queue, or of a type, be claimed again.')
    .argument('<name>', 'the queue')
    .option('--type', 'it is the name of a type of job')
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const { pauses } = (await session.app()).jobs
        const resumed =
          options.type === true ? await pauses.resumeType(name) : await pauses.resumeQueue(name)
        output.result({ name, status: 'active', resumed }, () =>
          resumed ? `${name} goes on.` : `${name} was not paused.`,
        )
      }),
    )
}
