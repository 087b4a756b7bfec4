import type { Command } from 'commander'
import type { OutboxPartition } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import { count, type Column } from '../../output/output.ts'
import { sizeOf } from '../../output/size.ts'

const columns: readonly Column<OutboxPartition>[] = [
  { heading: 'PARTITION', value: ({ name }) => name },
  { heading: 'FROM', value: ({ from }) => count(from), align: 'right' },
  { heading: 'TO', value: ({ to }) => count(to - 1n), align: 'right' },
  {
    heading: 'EVENTS',
    value: ({ events }) => (events === null ? null : `~${count(events)}`),
    align: 'right',
  },
  { heading: 'SIZE', value: ({ bytes }) => sizeOf(bytes), align: 'right' },
]

/** `tidemark outbox stats` */
export function addOutboxStats(parent: Command, context: Context): void {
  parent
    .command('stats')
    .description('Show how large the outbox is and how far it is read.')
    .action(
      running(context, async ({ session, output }) => {
        const app = await session.app()
        const stats = await app.outbox.stats()
        const { lowestCursor } = stats
        output.result(stats, () =>
          [
            output.facts({
              'last sequence': count(stats.lastSequence),
              horizon: count(stats.horizon),
              'lowest cursor':
                lowestCursor === null
                  ? null
                  : `${count(lowestCursor.sequence)} (${lowestCursor.listener})`,
              'pruned below': stats.prunedBelow === null ? null : count(stats.prunedBelow),
              'idempotency keys':
                stats.idempotencyKeys === null ? null : `~${count(stats.idempotencyKeys)}`,
              'default partition': stats.strays ? 'holds events: see `tidemark doctor`' : 'empty',
              size: sizeOf(stats.partitions.reduce((sum, { bytes }) => sum + bytes, 0n)),
            }),
            '',
            output.table(stats.partitions, columns),
          ].join('\n'),
        )
      }),
    )
}
