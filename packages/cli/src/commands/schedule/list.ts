import type { Command } from 'commander'
import type { ScheduleView } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'

const columns: readonly Column<ScheduleView>[] = [
  { heading: 'NAME', value: ({ name }) => name },
  { heading: 'SOURCE', value: ({ source }) => source },
  { heading: 'STATUS', value: ({ status }) => status },
  { heading: 'CRON', value: ({ cron }) => cron },
  { heading: 'TIME ZONE', value: ({ timeZone }) => timeZone },
  { heading: 'NEXT', value: ({ nextAt }) => nextAt },
  { heading: 'JOB', value: ({ job }) => job },
  { heading: 'OVERLAP', value: ({ overlap }) => overlap },
  { heading: 'CATCH UP', value: ({ catchUp }) => catchUp },
  { heading: 'LAST JOB', value: ({ lastJob }) => lastJob },
]

/** `tidemark schedule list` */
export function addScheduleList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description(
      'List the schedules: those in code that any process ever started, and those made at run time.',
    )
    .action(
      running(context, async ({ session, output }) => {
        const app = await session.app()
        output.list(await app.jobs.schedules.list(), columns, 'There are no schedules.')
      }),
    )
}
