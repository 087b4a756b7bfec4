import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { plural } from '../../output/output.ts'

/** `tidemark relay setup` */
export function addRelaySetup(parent: Command, context: Context): void {
  parent
    .command('setup')
    .description(
      'Make the stream of a relay, as its definition says, if there is none. Needs its definition from the config.',
    )
    .argument('<name>', 'the relay')
    .action(
      running<object, [string]>(context, async ({ session, output }, name) => {
        const app = await session.configuredApp()
        const found = await app.relays.setUp(name)
        output.result(
          found,
          () =>
            `${found.stream} is there since ${found.created} and was given ${plural(found.messages, 'message')}.`,
        )
      }),
    )
}
