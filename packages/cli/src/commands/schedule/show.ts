import type { Command } from 'commander'
import type { ScheduleTick } from 'tidemark'
import { countArgument } from '../../arguments/arguments.ts'
import { running, type Context } from '../../command-run.ts'
import { toJson, type Column } from '../../output/output.ts'

interface Options {
  readonly limit: number
}

const columns: readonly Column<ScheduleTick>[] = [
  { heading: 'TICK', value: ({ tick }) => tick },
  { heading: 'OUTCOME', value: ({ outcome }) => outcome },
  { heading: 'JOB', value: ({ job }) => job },
  { heading: 'ERROR', value: ({ error }) => error?.message.slice(0, 80) },
]

/** `tidemark schedule show` */
export function addScheduleShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description('Show one schedule, and what became of its ticks, the latest first.')
    .argument('<name>', 'the schedule')
    .option('--limit <count>', 'the most ticks', countArgument, 20)
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const { schedules } = (await session.app()).jobs
        const { input, ...facts } = await schedules.get(name)
        const ticks = await schedules.ticks(name, { limit: options.limit })
        output.result({ ...facts, input, ticks }, () =>
          [
            output.facts(facts),
            ...(facts.source === 'code' ? [] : [`input ${toJson(input, 2)}`]),
            ...(ticks.length === 0 ? [] : [output.table(ticks, columns)]),
          ].join('\n\n'),
        )
      }),
    )
}
