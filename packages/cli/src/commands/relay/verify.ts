import type { Command } from 'commander'
import { running, type Context } from '../../command-run.ts'
import { exitCode } from '../../exit-code.ts'
import { count, plural } from '../../output/output.ts'

/** `tidemark relay verify` */
export function addRelayVerify(parent: Command, context: Context): void {
  parent
    .command('verify')
    .description(
      "Compare what a relay's stream holds with the outbox, message by message, and name the first difference; exit 3 when there is one. Needs its definition from the config.",
    )
    .argument('<name>', 'the relay')
    .action(
      running<object, [string]>(context, async ({ session, output, io }, name) => {
        const app = await session.configuredApp()
        const found = await app.relays.verify(name, {
          signal: io.stopSignal(),
          onProgress: (messages) => output.note(`${count(messages)} messages compared`),
        })
        const { difference, messages, stream, from, through } = found
        output.result(found, () =>
          difference === null
            ? `${plural(messages, 'message')} of ${stream} agree with the outbox${messages === 0 ? '' : `, from event ${from} to ${through}`}.`
            : [
                output.colors.red(`${stream} differs from the outbox.`),
                output.facts({
                  difference: difference.kind,
                  event: difference.sequence,
                  position: difference.position,
                  what: difference.what,
                  'messages that agree': messages,
                }),
              ].join('\n'),
        )
        return difference === null ? exitCode.ok : exitCode.checkFailed
      }),
    )
}
