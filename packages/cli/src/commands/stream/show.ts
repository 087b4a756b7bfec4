import type { Command } from 'commander'
import { countArgument, wholeArgument } from '../../arguments/arguments.ts'
import { CliError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { eventColumns } from '../../output/event-table.ts'

interface Options {
  readonly after: number
  readonly limit: number
}

/** `tidemark stream show` */
export function addStreamShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description('Show the version of a stream, and its events in the order of versions.')
    .argument('<stream>', 'the name of the stream')
    .option('--after <version>', 'only events after this version', wholeArgument, 0)
    .option('--limit <count>', 'the most events', countArgument, 50)
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, stream) => {
        const app = await session.app()
        const found = await app.outbox.inspectStream(stream, {
          after: BigInt(options.after),
          limit: options.limit,
        })
        if (found === undefined) throw new CliError(`there is no stream "${stream}"`)
        const { version, events } = found
        output.result({ stream, version, events }, () =>
          [output.facts({ stream, version }), output.table(events, eventColumns)].join('\n\n'),
        )
        const last = events.at(-1)?.streamVersion
        if (!output.json && last !== undefined && last !== null && last < version) {
          output.note(`There are more: --after ${last}`)
        }
      }),
    )
}
