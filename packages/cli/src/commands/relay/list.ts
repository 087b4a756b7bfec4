import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { listListeners, printListeners } from '../../output/listener-view.ts'

/** `tidemark relay list` */
export function addRelayList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description('List relays and intakes: how far they are, and who runs them.')
    .action(
      running(context, async ({ session, output }) => {
        const all = await listListeners(await session.app())
        const relays = all.filter(({ kind }) => kind === 'relay' || kind === 'intake')
        printListeners(output, relays, 'No process has started a relay or an intake yet.')
      }),
    )
}
