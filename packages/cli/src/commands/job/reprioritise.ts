import type { Command } from 'commander'
import { priorityArgument, uuidArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'

/** `tidemark job reprioritise` */
export function addJobReprioritise(parent: Command, context: Context): void {
  parent
    .command('reprioritise')
    .description('Change the priority of a job that has not finished. Lower runs first.')
    .argument('<id>', 'the job', uuidArgument)
    .argument(
      '<priority>',
      'a number (after --, if it is negative), or urgent, high, normal, low, idle',
      priorityArgument,
    )
    .action(
      running<object, [string, number]>(context, async ({ session, output }, id, priority) => {
        const app = await session.app()
        const status = await app.jobs.reprioritise(id, priority)
        output.result({ id, status, priority }, () => `${id} has the priority ${priority}.`)
      }),
    )
}
