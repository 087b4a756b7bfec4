import type { Command } from 'commander'
import { sequenceZero, type EventSequence } from 'tidemark'
import { collected, countArgument, sequenceArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { eventColumns } from '../../output/event-table.ts'

interface Options {
  readonly type?: readonly string[]
  readonly stream?: string
  readonly after?: EventSequence
  readonly limit: number
}

/** `tidemark event list` */
export function addEventList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description('List events in the order of sequences, as far as they are settled.')
    .option('--type <type>', 'only events of this type; may be given several times', collected)
    .option('--stream <stream>', 'only events of this stream')
    .option('--after <sequence>', 'only events after this sequence', sequenceArgument)
    .option('--limit <count>', 'the most events', countArgument, 50)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const { type: types, stream, after = sequenceZero, limit } = options
        const app = await session.app()
        const { events } = await app.outbox.inspect({
          after,
          limit,
          ...(types === undefined ? {} : { types }),
          ...(stream === undefined ? {} : { stream }),
        })
        output.list(events, eventColumns, 'There are no such events.')
        const last = events.at(-1)
        if (!output.json && last !== undefined && events.length === limit) {
          output.note(`There may be more: --after ${last.sequence}`)
        }
      }),
    )
}
