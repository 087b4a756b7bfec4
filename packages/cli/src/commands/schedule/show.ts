import type { Command } from 'commander'
import type { ScheduleTick } from 'tidemark'
import { countArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'

interface Options {
  readonly limit: number
}

const columns: readonly Column<ScheduleTick>[] = [
  { heading: 'TICK', value: ({ tick }) => tick },
  { heading: 'OUTCOME', value: ({ outcome }) => outcome },
  { heading: 'JOB', value: ({ job }) => job },
  { heading: 'ERROR', value: ({ error }) => error?.message },
]

/** `tidemark schedule show` */
export function addScheduleShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description('Show one schedule with what its last ticks came to, the latest first.')
    .argument('<name>', 'the schedule')
    .option('--limit <ticks>', 'how many ticks', countArgument, 20)
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const app = await session.app()
        const schedule = await app.jobs.schedules.get(name)
        const ticks = await app.jobs.schedules.ticks(name, { limit: options.limit })
        output.result({ ...schedule, ticks }, () =>
          [
            output.facts({ ...schedule }),
            ticks.length === 0 ? 'It has not ticked yet.' : output.table(ticks, columns),
          ].join('\n\n'),
        )
      }),
    )
}
