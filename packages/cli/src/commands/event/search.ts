import type { Command } from 'commander'
import type { EventSequence } from 'tidemark'
import {
  collected,
  countArgument,
  sequenceArgument,
  timeArgument,
  uuidArgument,
} from '../../arguments/arguments.ts'
import { usageError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { eventColumns } from '../../output/event-table.ts'

interface Options {
  readonly type?: readonly string[]
  readonly stream?: string
  readonly key?: string
  readonly id?: string
  readonly correlation?: string
  readonly causation?: string
  readonly since?: Date
  readonly until?: Date
  readonly path?: string
  readonly equals?: string
  readonly before?: EventSequence
  readonly examine: number
  readonly limit: number
}

// What is larger is left out: `event show` has it.
const payloadLimit = 262_144

/** `tidemark event search` */
export function addEventSearch(parent: Command, context: Context): void {
  parent
    .command('search')
    .description(
      'Look for events by whatever is stored of them, the newest first. One call looks at a bounded number, because most of this has no index.',
    )
    .option('--type <type>', 'only events of this type; may be given several times', collected)
    .option('--stream <stream>', 'only events of this stream')
    .option('--key <key>', 'only events with this ordering key, their own or their stream')
    .option('--id <id>', 'only the event with this id', uuidArgument)
    .option('--correlation <id>', 'only events with this correlation id')
    .option('--causation <id>', 'only events that this caused')
    .option('--since <time>', 'only those recorded then or later', timeArgument)
    .option('--until <time>', 'only those recorded before', timeArgument)
    .option('--path <path>', 'only events whose payload has something there, as in customer.id')
    .option('--equals <text>', 'with --path: only those that have this text there')
    .option('--before <sequence>', 'only events before this sequence', sequenceArgument)
    .option('--examine <count>', 'the most events to look at', countArgument, 20_000)
    .option('--limit <count>', 'the most events', countArgument, 50)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const { type, correlation, causation, path, equals, limit, examine, ...rest } = options
        if (path === undefined && equals !== undefined) throw usageError('--equals needs a --path')
        const { stream, key, id, since, until, before } = rest
        const given = { types: type, correlationId: correlation, causationId: causation }
        const wanted = { ...given, stream, key, id, since, until, before }
        const app = await session.app()
        const { events, next } = await app.outbox.search({
          ...Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined)),
          ...(path === undefined
            ? {}
            : { payload: { path: path.split('.'), ...(equals === undefined ? {} : { equals }) } }),
          limit,
          examine,
          payloadLimit,
        })
        output.list(events, eventColumns, 'There are no such events among those looked at.')
        if (!output.json && next !== null) output.note(`There may be more: --before ${next}`)
      }),
    )
}
