import type { Command } from 'commander'
import { TidemarkError, type EventSequence } from 'tidemark'
import { sequenceArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { streamOf } from '../../output/event-table.ts'
import { toJson } from '../../output/output.ts'

/** `tidemark dead-letter show` */
export function addDeadLetterShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description('Show a dead letter, the error it failed with, and its event.')
    .argument('<listener>', 'the listener or projection')
    .argument('<sequence>', 'the event, by its sequence', sequenceArgument)
    .action(
      running<object, [string, EventSequence]>(
        context,
        async ({ session, output }, listener, sequence) => {
          const app = await session.app()
          const [letter] = await app.deadLetters.list({ listener, sequence })
          if (letter === undefined) {
            throw new TidemarkError(
              'TIDEMARK_UNKNOWN_DEAD_LETTER',
              `${listener} has no dead letter of event ${sequence}`,
            )
          }
          const event = await app.outbox.inspectEvent({ sequence })
          const { error, ...facts } = letter
          output.result({ ...letter, event: event ?? null }, () =>
            [
              output.facts({ ...facts, stream: event === undefined ? null : streamOf(event) }),
              ...(error === null ? [] : [output.colors.red(error.stack ?? error.message)]),
              ...(error?.cause === undefined
                ? []
                : [`caused by: ${error.cause.stack ?? error.cause.message}`]),
              event === undefined
                ? 'The event is no longer in the outbox.'
                : toJson(event.payload, 2),
            ].join('\n\n'),
          )
        },
      ),
    )
}
