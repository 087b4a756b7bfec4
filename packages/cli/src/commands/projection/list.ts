import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { listListeners, printListeners } from '../../output/listener-view.ts'

/** `tidemark projection list` */
export function addProjectionList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description('List projections: how far they are, and who runs them.')
    .action(
      running(context, async ({ session, output }) => {
        const projections = await listListeners(await session.app(), 'projection')
        printListeners(output, projections, 'No process has started a projection yet.')
      }),
    )
}
