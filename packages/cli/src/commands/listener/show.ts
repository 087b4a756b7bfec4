import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { getListener, printListener } from '../../output/listener-view.ts'

/** `tidemark listener show` */
export function addListenerShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description('Show a listener, its partitions and its last error.')
    .argument('<name>', 'the listener or projection')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        printListener(output, await getListener(await session.app(), name))
      }),
    )
}
