import type { Command } from 'commander'
import type { DeadLetterGroup } from 'tidemark'
import { countArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'

interface Options {
  readonly listener?: string
  readonly key?: string
  readonly limit: number
}

const columns: readonly Column<DeadLetterGroup>[] = [
  { heading: 'LISTENER', value: ({ listener }) => listener },
  { heading: 'TYPE', value: ({ type }) => type },
  { heading: 'EVENTS', value: ({ events }) => events, align: 'right' },
  { heading: 'HELD KEYS', value: ({ heldKeys }) => heldKeys, align: 'right' },
  { heading: 'SINCE', value: ({ firstAt }) => firstAt },
  { heading: 'GROUP', value: ({ group }) => group },
  { heading: 'ERROR', value: ({ error }) => (error?.cause ?? error)?.message.slice(0, 80) },
]

/** `tidemark dead-letter groups` */
export function addDeadLetterGroups(parent: Command, context: Context): void {
  parent
    .command('groups')
    .description(
      'Count dead letters that failed in the same way together, the largest group first. `retry` and `discard` take a group.',
    )
    .option('--listener <name>', 'only those of this listener or projection')
    .option('--key <key>', 'only those of events with this ordering key')
    .option('--limit <count>', 'the most groups', countArgument, 50)
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const { listener, key, limit } = options
        const app = await session.app()
        const groups = await app.deadLetters.groups({
          limit,
          ...(listener === undefined ? {} : { listener }),
          ...(key === undefined ? {} : { key }),
        })
        output.list(groups, columns, 'There are no such dead letters.')
        if (!output.json && groups.length === limit) output.note('There may be more: --limit')
      }),
    )
}
