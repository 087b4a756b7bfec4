import type { Command } from 'commander'
import type { JobPause } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'

const columns: readonly Column<JobPause>[] = [
  { heading: 'KIND', value: ({ kind }) => kind },
  { heading: 'NAME', value: ({ name }) => name },
  { heading: 'SINCE', value: ({ since }) => since },
  { heading: 'BY', value: ({ by }) => by },
  { heading: 'WAITING', value: ({ waiting }) => waiting },
]

/** `tidemark queue list` */
export function addQueueList(parent: Command, context: Context): void {
  parent
    .command('list')
    .description(
      'List the queues and the types of jobs that are paused, and how much waits behind.',
    )
    .action(
      running(context, async ({ session, output }) => {
        const app = await session.app()
        output.list(await app.jobs.pauses.list(), columns, 'Nothing is paused.')
      }),
    )
}
