import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { listListeners, printListeners } from '../../output/listener-view.ts'

/** `tidemark listener list` */
export function addListenerList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description('List listeners and projections: how far they are, and who runs them.')
    .action(
      running(context, async ({ session, output }) => {
        const listeners = await listListeners(await session.app())
        printListeners(output, listeners, 'No process has started a listener yet.')
      }),
    )
}
