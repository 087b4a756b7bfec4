import type { JSX } from 'preact'
import type { Job } from '../../data/types.ts'
import { Table } from '../../parts/table.tsx'
import { Name, summary } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import { duration, now } from '../../time.ts'
import { JobBadge, jobDuration } from './job-state.tsx'

/** Jobs, newest first. */
export function JobTable({
  jobs,
  label,
}: {
  readonly jobs: readonly Job[]
  readonly label: string
}): JSX.Element {
  return (
    <Table
      label={label}
      rows={jobs}
      id={({ id }) => id}
      columns={[
        {
          title: 'Job',
          cell: (job) => (
            <>
              <a href={link(['jobs', job.id])}>
                <Name of={job.name} />
              </a>
              <span class="sub clip">{about(job)}</span>
            </>
          ),
        },
        { title: 'State', tight: true, cell: (job) => <JobBadge job={job} /> },
        { title: 'Queue', show: 'if-wide', cell: ({ queue }) => <Name of={queue} /> },
        { title: 'Attempt', align: 'right', show: 'if-wide', cell: ({ attempt }) => attempt },
        {
          title: 'Took',
          align: 'right',
          tight: true,
          show: 'if-roomy',
          cell: (job) => {
            const took = jobDuration(job, now.value)
            return took === undefined ? <span class="quiet">–</span> : duration(took)
          },
        },
        {
          title: 'Spawned',
          align: 'right',
          tight: true,
          cell: ({ createdAt }) => <Time at={createdAt} />,
        },
      ]}
    />
  )
}

/** What tells one job of a type from the others at a glance: its error, or what it was given. */
function about({ error, status, input, id }: Job): string {
  if (error !== null && status !== 'completed') return error.message.slice(0, 160)
  const said = summary(input)
  return said === '' ? id : said
}
