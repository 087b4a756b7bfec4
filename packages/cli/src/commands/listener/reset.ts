import type { Command } from 'commander'
import { sequenceZero, type EventSequence } from 'tidemark'
import { sequenceArgument } from '../../arguments/arguments.ts'
import { requireConfirmation, usageError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { getListener } from '../../output/listener-view.ts'
import { plural } from '../../output/output.ts'

interface Options {
  readonly to?: EventSequence
  readonly evenPruned?: boolean
  readonly yes?: boolean
}

/** `tidemark listener reset` */
export function addListenerReset(parent: Command, context: Context): void {
  parent
    .command('reset')
    .description(
      'Send a listener to another sequence: it handles again, or passes over, what lies between. What its handlers wrote stays; what they published, spawned or sent they do again, unless they look at `replaying`.',
    )
    .argument('<name>', 'the listener')
    .option(
      '--to <sequence>',
      'the sequence to go on after (default: 0, everything again)',
      sequenceArgument,
    )
    .option(
      '--even-pruned',
      'even where events that it handles were pruned: it is given what is left',
    )
    .option('--yes', 'do it')
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const app = await session.app()
        const { kind, cursor } = await getListener(app, name)
        if (kind === 'projection') {
          throw usageError(
            `"${name}" is a projection: sent back alone, it would count everything twice`,
            `Run \`tidemark projection reset ${name}\`, which empties its state too.`,
          )
        }
        const to = options.to ?? sequenceZero
        const [low, high] = to < cursor ? [to, cursor] : [cursor, to]
        const events = await app.outbox.count(low, high)
        const effect =
          to < cursor
            ? `it handles ${plural(events, 'event')} of the outbox again, where it has handlers for them, which publish, spawn and send again what they did unless they look at \`replaying\``
            : `it never sees ${plural(events, 'event')} of the outbox that lie between`
        requireConfirmation(options.yes, `this sends ${name} from ${cursor} to ${to}: ${effect}`)
        await app.listeners.reset(name, to, { evenPruned: options.evenPruned ?? false })
        output.result(
          { name, from: cursor, to, events },
          () => `${name} went from ${cursor} to ${to}: ${effect}.`,
        )
      }),
    )
}
