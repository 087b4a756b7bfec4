import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { apiUrl, read } from '../../data/client.ts'
import { jobStatuses, type Job, type JobType } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { NameFilter, TextField } from '../../parts/field.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../../parts/page.tsx'
import { count, plural } from '../../parts/text.tsx'
import { tell } from '../../parts/toasts.tsx'
import { change, link, route } from '../../route.ts'
import { BulkButtons } from './bulk.tsx'
import { JobTable } from './job-table.tsx'

interface JobPage {
  readonly jobs: readonly Job[]
  readonly next: string | null
}

const pageSize = 50
// Where the server stops counting.
const mostRetrying = 10_000
const ages = [
  ['15 min', 900],
  ['hour', 3_600],
  ['day', 86_400],
  ['week', 604_800],
] as const

/** Jobs by status, type, queue, keys and time; what is done to many is done to what is filtered. */
export function JobsScreen(): JSX.Element {
  const { query } = route.value
  const given = (name: string): string => query.get(name) ?? ''
  const filter = {
    status: given('status'),
    name: given('name'),
    queue: given('queue'),
    uniqueKey: given('uniqueKey'),
    concurrencyKey: given('concurrencyKey'),
    parent: given('parent'),
    since: given('since'),
    retrying: given('retrying'),
    path: given('path'),
    equals: given('path') === '' ? '' : given('equals'),
  }
  const key = JSON.stringify(filter)
  const page = useData<JobPage>(apiUrl(['jobs'], { ...filter, limit: pageSize }))
  const types = useData<{ types: readonly JobType[] }>(apiUrl(['types']), 15_000)
  const counts = useData<{
    counts: Readonly<Record<string, number>>
    retrying: number
  }>(apiUrl(['job-counts']), 5_000)
  const known = types.value?.types ?? []
  const queues = [...new Set(['default', ...known.map(({ queue }) => queue)])].toSorted()
  const filtered = Object.values(filter).some((value) => value !== '')
  return (
    <>
      <PageHead
        title="Jobs"
        lead="Units of work that survive a crash: tried again until they are done."
      >
        <BulkButtons filter={filter} />
      </PageHead>
      <nav class="tabs" aria-label="By status">
        {['', ...jobStatuses].map((status) => (
          <a
            key={status}
            href={link(['jobs'], { ...filter, status, retrying: '' })}
            aria-current={filter.status === status && filter.retrying === '' ? 'true' : undefined}
          >
            {status === '' ? 'all' : status}
            {counts.value?.counts[status] !== undefined && (
              <span class="count">{count(counts.value.counts[status])}</span>
            )}
          </a>
        ))}
        <a
          href={link(['jobs'], { ...filter, status: '', retrying: 'true' })}
          aria-current={filter.retrying === 'true' ? 'true' : undefined}
          title="Failed, and tried again: scheduled, queued or running"
        >
          retrying
          {counts.value !== undefined && (
            <span class="count">
              {count(counts.value.retrying)}
              {counts.value.retrying >= mostRetrying ? '+' : ''}
            </span>
          )}
        </a>
      </nav>
      <div class="filters">
        <NameFilter
          label="Type"
          value={filter.name}
          names={known.map(({ name }) => name)}
          onChange={(name) => change({ name })}
        />
        <NameFilter
          label="Queue"
          value={filter.queue}
          names={queues}
          onChange={(queue) => change({ queue })}
        />
        <TextField
          label="Unique key"
          value={filter.uniqueKey}
          onChange={(uniqueKey) => change({ uniqueKey })}
        />
        <TextField
          label="Concurrency key"
          value={filter.concurrencyKey}
          onChange={(concurrencyKey) => change({ concurrencyKey })}
        />
        <Since value={filter.since} />
        <TextField
          label="Input has"
          value={filter.path}
          placeholder="customer.id"
          onChange={(path) => change({ path })}
        />
        {filter.path !== '' && (
          <TextField
            label="with the value"
            value={filter.equals}
            onChange={(equals) => change({ equals })}
          />
        )}
        {filtered && (
          <a class="button plain" href={link(['jobs'])}>
            Clear filters
          </a>
        )}
      </div>
      <Card title="Newest first" flush>
        <Loaded data={page}>
          {({ jobs, next }) =>
            jobs.length === 0 && next === null ? (
              <Nothing filtered={filtered} />
            ) : (
              <Pages key={key} first={jobs} next={next} filter={filter} />
            )
          }
        </Loaded>
      </Card>
    </>
  )
}

function Since({ value }: { readonly value: string }): JSX.Element {
  const names = ages.map(([text]) => text)
  // An address holds the time itself, so that who is sent it sees the same jobs.
  const choose = (text: string): void => {
    const seconds = ages.find(([name]) => name === text)?.[1]
    const since = seconds === undefined ? text : new Date(Date.now() - seconds * 1000).toISOString()
    change({ since })
  }
  return (
    <NameFilter
      label="Spawned in the last"
      value={value}
      names={names}
      all="any time"
      onChange={choose}
    />
  )
}

/** The newest page, which is looked at again and again, and older ones as they were asked for. */
function Pages({
  first,
  next,
  filter,
}: {
  readonly first: readonly Job[]
  readonly next: string | null
  readonly filter: Readonly<Record<string, string>>
}): JSX.Element {
  const [older, setOlder] = useState<JobPage | undefined>(undefined)
  const after = older === undefined ? next : older.next
  const more = async (): Promise<void> => {
    if (after === null) return
    try {
      const page = await read<JobPage>(apiUrl(['jobs'], { ...filter, after, limit: pageSize }))
      setOlder({ jobs: [...(older?.jobs ?? []), ...page.jobs], next: page.next })
    } catch (error) {
      tell((error as Error).message, 'bad')
    }
  }
  const seen = new Set(first.map(({ id }) => id))
  const jobs = [...first, ...(older?.jobs ?? []).filter(({ id }) => !seen.has(id))]
  return (
    <>
      <JobTable label="Jobs" jobs={jobs} />
      <div class="more quiet">
        {after === null ? (
          `${plural(jobs.length, 'job')}: that is all of them.`
        ) : (
          <button type="button" class="button" onClick={() => void more()}>
            Show older ones
          </button>
        )}
      </div>
    </>
  )
}

function Nothing({ filtered }: { readonly filtered: boolean }): JSX.Element {
  if (filtered) {
    return (
      <Empty title="No job is like this">
        Finished jobs are kept for a while and then deleted; the filter may be too narrow.
      </Empty>
    )
  }
  return (
    <Empty
      title="No jobs yet"
      code={
        'await spawn(sendEmail, { to: \'ada@example.com\' })  // in a handler or a transaction\n\nnpx tidemark job spawn send_email \'{ "to": "ada@example.com" }\''
      }
    >
      A job is spawned in a transaction, and exists if that commits. Each appears here with its
      attempts, steps and logs.
    </Empty>
  )
}
