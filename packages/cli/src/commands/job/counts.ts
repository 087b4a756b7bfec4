import type { Command } from 'commander'
import { jobStatuses, type JobCount, type JobStatus } from 'tidemark'
import { running, type Context } from '../../command-run.ts'
import type { Column } from '../../output/output.ts'

/** The jobs of one type. */
interface TypeCounts {
  readonly name: string
  readonly jobs: ReadonlyMap<JobStatus, number>
}

/** `tidemark job counts` */
export function addJobCounts(parent: Command, context: Context): void {
  parent
    .command('counts')
    .description('Count the jobs by type and status; as quick with ten million jobs as with ten.')
    .action(
      running(context, async ({ session, output }) => {
        const app = await session.app()
        const counts = await app.jobs.counts()
        if (output.json || counts.length === 0) {
          output.list(counts, [], 'There are no jobs.')
          return
        }
        const statuses = jobStatuses.filter((status) =>
          counts.some((count) => count.status === status),
        )
        output.list(byType(counts), columnsOf(statuses), '')
      }),
    )
}

function byType(counts: readonly JobCount[]): readonly TypeCounts[] {
  const types = new Map<string, Map<JobStatus, number>>()
  for (const { name, status, jobs } of counts) {
    const type = types.get(name) ?? new Map<JobStatus, number>()
    types.set(name, type.set(status, jobs))
  }
  return [...types]
    .map(([name, jobs]) => ({ name, jobs }))
    .toSorted((one, other) => one.name.localeCompare(other.name))
}

function columnsOf(statuses: readonly JobStatus[]): readonly Column<TypeCounts>[] {
  return [
    { heading: 'JOB', value: ({ name }) => name },
    ...statuses.map((status): Column<TypeCounts> => ({
      heading: status.toUpperCase().replaceAll('_', ' '),
      value: ({ jobs }) => jobs.get(status) ?? 0,
      align: 'right',
    })),
  ]
}
