import type { Command } from 'commander'
import type { ProcessStatus } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'
import { sizeOf } from '../../output/size.ts'

const columns: readonly Column<ProcessStatus>[] = [
  { heading: 'PROCESS', value: ({ hostname, pid }) => `${hostname}:${pid}` },
  { heading: 'LIBRARY', value: ({ library }) => library },
  { heading: 'SINCE', value: ({ startedAt }) => startedAt },
  {
    heading: 'HEARD OF',
    value: ({ alive, silentSeconds }) =>
      alive ? 'alive' : `silent for ${Math.round(silentSeconds)} s`,
  },
  { heading: 'DEFINITIONS', value: ({ definitions }) => definitions.length, align: 'right' },
  { heading: 'LEASES', value: ({ leases }) => leases.length, align: 'right' },
  { heading: 'JOBS', value: ({ jobs }) => jobs, align: 'right' },
  {
    heading: 'MEMORY',
    value: ({ vitals }) =>
      vitals === null ? null : sizeOf(BigInt(Math.round(vitals.residentBytes))),
    align: 'right',
  },
]

/** `tidemark process list` */
export function addProcessList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description(
      'List the processes that run listeners and jobs, those that live first: what each holds, and how it is.',
    )
    .action(
      running<object, []>(context, async ({ session, output }) => {
        const app = await session.app()
        output.list(await app.processes.list(), columns, 'No process is known.')
      }),
    )
}
