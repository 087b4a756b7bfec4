import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { apiUrl } from '../data/client.ts'
import type { AuditEntry } from '../data/types.ts'
import { useData } from '../data/use-data.ts'
import { Badge } from '../parts/badge.tsx'
import { SelectField, TextField } from '../parts/field.tsx'
import { Loaded } from '../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../parts/page.tsx'
import { Table } from '../parts/table.tsx'
import { cut, Name } from '../parts/text.tsx'
import { Time } from '../parts/time.tsx'
import { change as changeQuery, route } from '../route.ts'

interface Found {
  readonly entries: readonly AuditEntry[]
  readonly next: string | null
}

const outcomes = [
  ['', 'all'],
  ['done', 'done'],
  ['refused', 'refused'],
  ['failed', 'failed'],
  ['open', 'not known'],
] as const

/** Who changed what. */
export function AuditScreen(): JSX.Element {
  const { query } = route.value
  const filter = {
    by: query.get('by') ?? '',
    action: query.get('action') ?? '',
    name: query.get('name') ?? '',
    outcome: query.get('outcome') ?? '',
  }
  const [before, setBefore] = useState('')
  const data = useData<Found>(apiUrl(['audit'], { ...filter, before, limit: 100 }), 5_000)
  const change = (part: Partial<typeof filter>): void => {
    setBefore('')
    changeQuery(part)
  }
  return (
    <>
      <PageHead
        title="Audit"
        lead="Who changed what, through this console, the HTTP API and the command line."
      />
      <Card title="The newest first" flush>
        <div class="filters">
          <TextField label="By" value={filter.by} onChange={(by) => change({ by })} />
          <TextField
            label="Action"
            value={filter.action}
            onChange={(action) => change({ action })}
          />
          <TextField label="On" value={filter.name} onChange={(name) => change({ name })} />
          <SelectField
            label="Outcome"
            value={filter.outcome}
            options={outcomes}
            onChange={(outcome) => change({ outcome })}
          />
        </div>
        <Loaded data={data}>
          {({ entries, next }) => (
            <>
              {entries.length === 0 ? (
                <Empty title="Nothing like this was changed" code="npx tidemark audit list">
                  Pauses, retries, rebuilds and the like are recorded with who asked for them.
                </Empty>
              ) : (
                <Entries entries={entries} />
              )}
              <div class="buttons">
                {before !== '' && (
                  <button type="button" class="button" onClick={() => setBefore('')}>
                    Newest
                  </button>
                )}
                {next !== null && (
                  <button type="button" class="button" onClick={() => setBefore(next)}>
                    Older
                  </button>
                )}
              </div>
            </>
          )}
        </Loaded>
      </Card>
    </>
  )
}

function Entries({ entries }: { readonly entries: readonly AuditEntry[] }): JSX.Element {
  return (
    <Table
      label="What was changed"
      rows={entries}
      id={({ id }) => id}
      columns={[
        { title: 'When', tight: true, cell: ({ at }) => <Time at={at} /> },
        {
          title: 'Who',
          cell: ({ by, via, databaseUser }) => (
            <>
              <Name of={by} />
              <span class="sub">
                {via}, as {databaseUser}
              </span>
            </>
          ),
        },
        {
          title: 'What',
          cell: ({ action, subject }) => (
            <>
              {action}
              {subject !== null && (
                <span class="sub">
                  {subject.kind} <Name of={subject.name} />
                </span>
              )}
            </>
          ),
        },
        {
          title: 'Outcome',
          tight: true,
          cell: ({ outcome, code }) => (
            <>
              <Badge
                state={outcome ?? 'not known'}
                tone={outcome === 'done' ? 'good' : outcome === 'failed' ? 'bad' : 'warn'}
              />
              {code !== null && <span class="sub mono">{code}</span>}
            </>
          ),
        },
        {
          title: 'Asked',
          show: 'if-wide',
          cell: ({ asked, result }) => (
            <span class="mono">
              {cut(JSON.stringify(asked), 200)} → {cut(JSON.stringify(result), 120)}
            </span>
          ),
        },
      ]}
    />
  )
}
