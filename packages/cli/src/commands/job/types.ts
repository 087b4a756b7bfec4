import type { Command } from 'commander'
import type { JobType } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'

const columns: readonly Column<JobType>[] = [
  { heading: 'NAME', value: ({ name }) => name },
  { heading: 'VERSION', value: ({ version }) => version, align: 'right' },
  { heading: 'QUEUE', value: ({ queue }) => queue },
  { heading: 'PROCESSES', value: ({ processes }) => processes, align: 'right' },
  { heading: 'DESCRIPTION', value: ({ description }) => description },
]

/** `tidemark job types` */
export function addJobTypes(parent: Command, context: Context): void {
  parent
    .command('types')
    .description(
      'List the types of jobs that processes run, and those that the config defines; --json adds their JSON Schemas.',
    )
    .action(
      running(context, async ({ session, output }) => {
        const { jobs } = await session.app()
        const published = await jobs.types()
        const known = new Set(published.map(({ name }) => name))
        const idle = jobs
          .defined()
          .filter(({ name }) => !known.has(name))
          .map((type): JobType => ({ ...type, processes: 0 }))
        const types = [...published, ...idle].toSorted((a, b) => (a.name < b.name ? -1 : 1))
        output.list(types, columns, 'There are no types of jobs.')
      }),
    )
}
