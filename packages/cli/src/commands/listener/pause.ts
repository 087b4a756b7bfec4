import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { getListener } from '../../output/listener-view.ts'

/** `tidemark listener pause` */
export function addListenerPause(parent: Command, context: Context): void {
  parent
    .command('pause')
    .description('Stop a listener after the batch under way, in whatever process it runs.')
    .argument('<name>', 'the listener or projection')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await app.listeners.pause(name)
        const listener = await getListener(app, name)
        output.result(listener, () => `${name} is paused after sequence ${listener.cursor}.`)
      }),
    )
}
