import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'

/** `tidemark schedule pause` */
export function addSchedulePause(parent: Command, context: Context): void {
  parent
    .command('pause')
    .description('Let the ticks of a schedule pass without firing; they are recorded.')
    .argument('<name>', 'the schedule')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await app.jobs.schedules.pause(name)
        output.result({ name, status: 'paused' }, () => `${name} is paused.`)
      }),
    )
}
