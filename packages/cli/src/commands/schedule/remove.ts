import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'

/** `tidemark schedule remove` */
export function addScheduleRemove(parent: Command, context: Context): void {
  parent
    .command('remove')
    .description(
      'Remove a schedule that was made at run time, or one in code that no live process has any more, with its history. Its jobs stay.',
    )
    .argument('<name>', 'the schedule')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await app.jobs.schedules.remove(name)
        output.result({ name, status: 'removed' }, () => `${name} is removed.`)
      }),
    )
}
