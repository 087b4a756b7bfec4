import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { getListener } from '../../output/listener-view.ts'

/** `tidemark listener resume` */
export function addListenerResume(parent: Command, context: Context): void {
  parent
    .command('resume')
    .description('Let a paused or halted listener go on, with the event that it halted on.')
    .argument('<name>', 'the listener or projection')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.app()
        await app.listeners.resume(name)
        const listener = await getListener(app, name)
        output.result(listener, () => `${name} goes on after sequence ${listener.cursor}.`)
      }),
    )
}
