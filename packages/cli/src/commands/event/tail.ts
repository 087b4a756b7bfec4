import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import { sequenceZero, type EventSequence } from 'tidemark'
import { collected, countArgument, sequenceArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { eventLine } from '../../output/event-table.ts'
import { cell } from '../../output/output.ts'

interface Options {
  readonly type?: readonly string[]
  readonly stream?: string
  readonly after?: EventSequence
  readonly limit?: number
}

const pageSize = 500
// Often enough for eyes; an operator's terminal must not make publishers ring a doorbell.
const pollInterval = 250

/** `tidemark event tail` */
export function addEventTail(parent: Command, context: Context): void {
  parent
    .command('tail')
    .description(
      'Follow the outbox until it is interrupted: a line for each event, of JSON with --json.',
    )
    .option('--type <type>', 'only events of this type; may be given several times', collected)
    .option('--stream <stream>', 'only events of this stream')
    .option(
      '--after <sequence>',
      'begin after this sequence (default: with the next event)',
      sequenceArgument,
    )
    .option('--limit <count>', 'end after this many events', countArgument)
    .action(
      running<Options, []>(context, async ({ options, session, output, io }) => {
        const app = await session.app()
        const { type: types, stream } = options
        const filter = {
          ...(types === undefined ? {} : { types }),
          ...(stream === undefined ? {} : { stream }),
        }
        const stopped = io.stopSignal()
        let left = options.limit ?? Infinity
        let after =
          options.after ?? (await app.outbox.inspect({ after: sequenceZero, limit: 0 })).horizon
        output.note(`Following after sequence ${after}.`)
        while (!stopped.aborted && left > 0) {
          const limit = Math.min(left, pageSize)
          const { events, horizon } = await app.outbox.inspect({ after, limit, ...filter })
          for (const event of events) output.item(event, () => cell(eventLine(event)))
          left -= events.length
          const last = events.length === limit ? events.at(-1) : undefined
          // A short page has seen everything up to the horizon.
          after = last?.sequence ?? horizon
          if (last === undefined)
            await pause(pollInterval, undefined, { signal: stopped }).catch(() => {})
        }
      }),
    )
}
