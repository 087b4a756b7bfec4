import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { apiUrl, read } from '../../data/client.ts'
import type { StoredEvent } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { NameFilter, TextField } from '../../parts/field.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, PageHead } from '../../parts/page.tsx'
import { Table } from '../../parts/table.tsx'
import { count, Name, size, summary } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { tell } from '../../parts/toasts.tsx'
import { change, link, route } from '../../route.ts'

interface EventPage {
  readonly events: readonly StoredEvent[]
  readonly next: string | null
  readonly horizon: string
}

interface EventTypes {
  readonly types: readonly { readonly type: string }[]
}

const filters = [
  'type',
  'stream',
  'key',
  'id',
  'correlation',
  'causation',
  'path',
  'equals',
] as const

/** Events, newest first, looked for by what they are and what they hold. */
export function EventsScreen(): JSX.Element {
  const { query } = route.value
  const filter = Object.fromEntries(filters.map((name) => [name, query.get(name) ?? '']))
  const { path = '', equals = '', ...others } = filter
  // The API refuses a value without a place; who types writes the one after the other.
  const asked = { ...others, path, equals: path === '' ? '' : equals, limit: 50 }
  const url = apiUrl(['events'], asked)
  const page = useData<EventPage>(url, 1_000)
  const types = useData<EventTypes>(apiUrl(['event-types']), null)
  const names = [...new Set((types.value?.types ?? []).map(({ type }) => type))].toSorted()
  const filtered = Object.values(filter).some((value) => value !== '')
  const field = (name: string, label: string, placeholder = ''): JSX.Element => (
    <TextField
      label={label}
      value={filter[name] ?? ''}
      placeholder={placeholder}
      onChange={(value) => change({ [name]: value })}
    />
  )
  return (
    <>
      <PageHead
        title="Events"
        lead="What has happened, in the order of the outbox. New ones appear as they are published."
      />
      <div class="filters">
        <NameFilter
          label="Type"
          value={filter['type'] ?? ''}
          names={names}
          onChange={(type) => change({ type })}
        />
        {field('stream', 'Stream')}
        {field('key', 'Key')}
        {field('correlation', 'Correlation')}
        {field('path', 'Payload has', 'customer.id')}
        {path !== '' && field('equals', 'with the value')}
        {filtered && (
          <a class="button plain" href={link(['events'])}>
            Clear filters
          </a>
        )}
      </div>
      <Card
        title="Newest first"
        aside={
          page.value !== undefined && (
            <span class="quiet number">settled up to {count(page.value.horizon)}</span>
          )
        }
        flush
      >
        <Loaded data={page}>
          {({ events, next }) => (
            <Pages key={url} first={events} next={next} asked={asked} filtered={filtered} />
          )}
        </Loaded>
      </Card>
    </>
  )
}

/** The newest page, which is looked at again and again, and older ones as they were asked for. */
function Pages({
  first,
  next,
  asked,
  filtered,
}: {
  readonly first: readonly StoredEvent[]
  readonly next: string | null
  readonly asked: Readonly<Record<string, string | number>>
  readonly filtered: boolean
}): JSX.Element {
  const [older, setOlder] = useState<Omit<EventPage, 'horizon'> | undefined>(undefined)
  const before = older === undefined ? next : older.next
  const more = async (): Promise<void> => {
    if (before === null) return
    try {
      const page = await read<EventPage>(apiUrl(['events'], { ...asked, before }))
      setOlder({ events: [...(older?.events ?? []), ...page.events], next: page.next })
    } catch (error) {
      tell((error as Error).message, 'bad')
    }
  }
  const seen = new Set(first.map(({ sequence }) => sequence))
  const events = [...first, ...(older?.events ?? []).filter(({ sequence }) => !seen.has(sequence))]
  if (events.length === 0 && before === null) return <Nothing filtered={filtered} />
  return (
    <>
      <EventTable events={events} />
      <div class="more quiet">
        {before === null ? (
          'That is all of them.'
        ) : (
          <button type="button" class="button" onClick={() => void more()}>
            Look further back
          </button>
        )}
      </div>
    </>
  )
}

function EventTable({ events }: { readonly events: readonly StoredEvent[] }): JSX.Element {
  return (
    <Table
      label="Events"
      rows={events}
      id={({ sequence }) => sequence}
      columns={[
        {
          title: 'Sequence',
          align: 'right',
          tight: true,
          cell: ({ sequence }) => <a href={link(['events', sequence])}>{count(sequence)}</a>,
        },
        {
          title: 'Event',
          cell: (event) => (
            <>
              <a href={link(['events', event.sequence])}>
                <Name of={event.type} />
              </a>
              <span class="sub clip">{held(event)}</span>
            </>
          ),
        },
        {
          title: 'Stream',
          show: 'if-roomy',
          cell: ({ stream, streamVersion }) =>
            stream === null ? (
              <span class="quiet">–</span>
            ) : (
              <>
                <a href={link(['events'], { stream })}>
                  <Name of={stream} />
                </a>
                <span class="sub">version {streamVersion}</span>
              </>
            ),
        },
        {
          title: 'Recorded',
          align: 'right',
          tight: true,
          cell: ({ recordedAt }) => <Time at={recordedAt} />,
        },
      ]}
    />
  )
}

function held(event: StoredEvent): string {
  if (event.payloadHidden) return 'its payload is hidden'
  return event.payloadCut ? size(event.payloadBytes) : summary(event.payload)
}

function Nothing({ filtered }: { readonly filtered: boolean }): JSX.Element {
  if (filtered) {
    return (
      <Empty title="No event is like this">
        Events of before a pruning are gone; the filter may be too narrow.
      </Empty>
    )
  }
  return (
    <Empty
      title="Nothing has happened yet"
      code={
        "await tidemark.transaction(async (tx) => {\n  await tx.publish(accountOpened({ … }), { stream: 'account-1' })\n})"
      }
    >
      An event is published in a transaction, and exists if that commits.
    </Empty>
  )
}
