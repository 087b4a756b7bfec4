import { Option, type Command } from 'commander'
import type { DeadLetter } from 'tidemark'
import { countArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'

interface Options {
  readonly listener?: string
  readonly key?: string
  readonly state?: readonly DeadLetter['state'][]
  readonly limit: number
}

/** `tidemark dead-letter list` */
export function addDeadLetterList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description('List dead letters in the order of sequences.')
    .option('--listener <name>', 'only those of this listener or projection')
    .option('--key <key>', 'only those of events with this ordering key')
    .addOption(
      new Option(
        '--state <state...>',
        'only those that failed, wait behind one that failed, will be tried again, or are given up',
      ).choices(['parked', 'waiting', 'retry', 'skipped']),
    )
    .option('--limit <count>', 'the most dead letters', countArgument, 50)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const { listener, key, state: states, limit } = options
        const app = await session.app()
        const letters = await app.deadLetters.list({
          limit,
          ...(listener === undefined ? {} : { listener }),
          ...(key === undefined ? {} : { key }),
          ...(states === undefined ? {} : { states }),
        })
        const { red, yellow, cyan, dim } = output.colors
        const paint = { parked: red, waiting: yellow, retry: cyan, skipped: dim }
        output.list(
          letters,
          [
            { heading: 'LISTENER', value: (row) => row.listener },
            { heading: 'SEQUENCE', value: (row) => row.sequence, align: 'right' },
            { heading: 'TYPE', value: (row) => row.type },
            { heading: 'KEY', value: (row) => row.key },
            {
              heading: 'STATE',
              value: (row) => row.state,
              paint: (text, row) => paint[row.state](text),
            },
            { heading: 'ATTEMPTS', value: (row) => row.attempts, align: 'right' },
            { heading: 'SINCE', value: (row) => row.createdAt },
            {
              heading: 'ERROR',
              value: (row) => (row.error?.cause ?? row.error)?.message.slice(0, 80),
            },
          ],
          'There are no such dead letters.',
        )
        if (!output.json && letters.length === limit) output.note('There may be more: --limit')
      }),
    )
}
