import type { Command } from 'commander'
import { TidemarkError, type EventSequence } from 'tidemark'
import {
  chosen,
  countChosen,
  withChoice,
  type ChoiceOptions,
} from '../../arguments/dead-letter-choice.ts'
import { requireConfirmation } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { plural } from '../../output/output.ts'

interface Options extends ChoiceOptions {
  readonly yes?: boolean
}

/** `tidemark dead-letter discard` */
export function addDeadLetterDiscard(parent: Command, context: Context): void {
  withChoice(
    parent
      .command('discard')
      .description(
        'Give dead letters up: they stay as a record. What waited behind one of them, and is not given up too, is tried.',
      ),
  )
    .option('--yes', 'do it')
    .action(
      running<Options, [string, EventSequence | undefined]>(
        context,
        async ({ options, session, output }, listener, sequence) => {
          const selection = chosen(listener, sequence, options, ['parked', 'waiting', 'retry'])
          const app = await session.app()
          const { taken, left } = await countChosen(app, selection)
          if (taken === 0) {
            throw new TidemarkError(
              'TIDEMARK_UNKNOWN_DEAD_LETTER',
              `${listener} has no such dead letter`,
            )
          }
          requireConfirmation(
            options.yes,
            `this gives up ${plural(taken, 'event')} that ${listener} has set aside: it never handles them`,
          )
          const events = await app.deadLetters.discard(selection)
          output.result(
            { listener, events, left },
            () => `${listener} has given up ${plural(events, 'event')}.`,
          )
          if (left > 0 && !output.json) output.note(`${plural(left, 'event')} more: --limit`)
        },
      ),
    )
}
