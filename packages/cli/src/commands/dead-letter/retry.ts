import type { Command } from 'commander'
import type { EventSequence } from 'tidemark'
import {
  chosen,
  countChosen,
  withChoice,
  type ChoiceOptions,
} from '../../arguments/dead-letter-choice.ts'
import { running, type Context } from '../../command-run.ts'
import { plural } from '../../output/output.ts'

/** `tidemark dead-letter retry` */
export function addDeadLetterRetry(parent: Command, context: Context): void {
  withChoice(
    parent
      .command('retry')
      .description(
        'Have dead letters handled again, in order, by whoever runs the listener. One that holds its key takes what waits behind it along; one that was given up is tried only when it is named.',
      ),
  ).action(
    running<ChoiceOptions, [string, EventSequence | undefined]>(
      context,
      async ({ options, session, output }, listener, sequence) => {
        const states =
          sequence === undefined
            ? (['parked', 'waiting'] as const)
            : (['parked', 'waiting', 'skipped'] as const)
        const selection = chosen(listener, sequence, options, states)
        const app = await session.app()
        const { left } = await countChosen(app, selection)
        const events = await app.deadLetters.retry(selection)
        output.result(
          { listener, events, left },
          () => `${listener} will try ${plural(events, 'event')} again.`,
        )
        if (left > 0 && !output.json) output.note(`${plural(left, 'event')} more: --limit`)
      },
    ),
  )
}
