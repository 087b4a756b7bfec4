import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'

/** `tidemark schedule resume` */
export function addScheduleResume(parent: Command, context: Context): void {
  parent
    .command('resume')
    .description('Let a paused schedule fire again.')
    .argument('<name>', 'the schedule')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await app.jobs.schedules.resume(name)
        output.result({ name, status: 'active' }, () => `${name} is resumed.`)
      }),
    )
}
