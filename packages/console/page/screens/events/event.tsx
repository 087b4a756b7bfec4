import type { JSX } from 'preact'
import { apiUrl } from '../../data/client.ts'
import type { ErrorView, Received, StoredEvent, TraceNode } from '../../data/types.ts'
import { useData } from '../../data/use-data.ts'
import { Badge } from '../../parts/badge.tsx'
import { CliCommand, CopyButton } from '../../parts/copy.tsx'
import { ErrorNotice } from '../../parts/error.tsx'
import { Loaded } from '../../parts/loaded.tsx'
import { Card, Empty, Facts, PageHead } from '../../parts/page.tsx'
import { Payload } from '../../parts/payload.tsx'
import { Table } from '../../parts/table.tsx'
import { count, Name, size } from '../../parts/text.tsx'
import { Time } from '../../parts/time.tsx'
import { link } from '../../route.ts'
import type { ScreenProps } from '../index.ts'
import { TraceTree } from '../trace-tree.tsx'

interface Details {
  readonly event: StoredEvent
  readonly received: readonly Received[]
}

interface Decoded {
  readonly defined: boolean
  readonly event: StoredEvent | null
  readonly error: ErrorView | null
}

/** One event: what it says, who has handled it, what led to it and what came of it. */
export function EventScreen({ path }: ScreenProps): JSX.Element {
  const sequence = path[0] ?? ''
  const details = useData<Details>(apiUrl(['events', sequence]), 3_000)
  const trace = useData<{ nodes: readonly TraceNode[] }>(
    apiUrl(['events', sequence, 'trace']),
    5_000,
  )
  return (
    <Loaded data={details}>
      {({ event, received }) => (
        <>
          <PageHead
            crumb={{ href: link(['events'], { type: event.type }), text: 'Events of this type' }}
            title={<Name of={event.type} />}
            lead={
              <>
                Event {count(event.sequence)} · <code>{event.id}</code>{' '}
                <CopyButton text={event.id} what="the id" />
              </>
            }
          />
          <section class="card">
            <div class="body">
              <Facts of={factsOf(event)} />
            </div>
          </section>
          <div class="columns">
            <Card
              title="Payload, as it is stored"
              aside={<span class="quiet">{size(event.payloadBytes)}</span>}
            >
              <Stored event={event} label="payload, as it is stored" />
            </Card>
            <Card title="As a handler sees it">
              <AsDecoded sequence={event.sequence} />
            </Card>
          </div>
          <Card title="What became of it" flush>
            <ReceivedTable received={received} />
          </Card>
          <Card title="What led to it, and what came of it" flush>
            <Loaded data={trace}>
              {({ nodes }) => <TraceTree nodes={nodes} here={event.id} />}
            </Loaded>
          </Card>
          {event.metadata !== null && Object.keys(event.metadata as object).length > 0 && (
            <Card title="Metadata">
              <Payload value={event.metadata} label="metadata" />
            </Card>
          )}
          <CliCommand command={`npx tidemark event show ${event.sequence}`} />
        </>
      )}
    </Loaded>
  )
}

function factsOf(
  event: StoredEvent,
): readonly (readonly [string, JSX.Element | string] | undefined)[] {
  const search = (name: string, label: string, value: string | null) =>
    value === null
      ? undefined
      : ([
          label,
          <a href={link(['events'], { [name]: value })}>
            <Name of={value} />
          </a>,
        ] as const)
  return [
    ['Recorded', <Time at={event.recordedAt} />],
    ['Version of its schema', String(event.version)],
    search('stream', 'Stream', event.stream),
    event.streamVersion === null
      ? undefined
      : ['Version in the stream', count(event.streamVersion)],
    search('key', 'Ordering key', event.key),
    search('correlation', 'Correlation', event.correlationId),
    search('causation', 'Causation', event.causationId),
    event.traceparent === null
      ? undefined
      : ['Trace', <span class="mono">{event.traceparent}</span>],
  ]
}

function Stored({
  event,
  label,
}: {
  readonly event: StoredEvent
  readonly label: string
}): JSX.Element {
  if (event.payloadHidden) return <p class="quiet">You may not see payloads.</p>
  if (event.payloadCut)
    return <p class="quiet">It is larger than a page shows: {size(event.payloadBytes)}.</p>
  return <Payload value={event.payload} label={label} />
}

function AsDecoded({ sequence }: { readonly sequence: string }): JSX.Element {
  const data = useData<Decoded>(apiUrl(['events', sequence, 'decoded']), null)
  return (
    <Loaded data={data}>
      {({ defined, event, error }) => {
        if (error !== null) return <ErrorNotice error={error} title="It cannot be read" />
        if (!defined || event === null) {
          return (
            <Empty title="This application does not define it">
              Nothing here knows its schema.
            </Empty>
          )
        }
        return (
          <div class="form">
            <span class="quiet">
              <Name of={event.type} />, version {event.version}
            </span>
            <Stored event={event} label="payload, as a handler sees it" />
          </div>
        )
      }}
    </Loaded>
  )
}

function ReceivedTable({ received }: { readonly received: readonly Received[] }): JSX.Element {
  if (received.length === 0) return <Empty title="No listener reads events of this type" />
  return (
    <Table
      label="What each listener has made of it"
      rows={received}
      id={({ listener }) => listener}
      columns={[
        {
          title: 'Listener',
          cell: ({ listener, error }) => (
            <>
              <a href={link(['listeners', listener])}>
                <Name of={listener} />
              </a>
              {error !== null && <span class="sub">{error.message.slice(0, 300)}</span>}
            </>
          ),
        },
        { title: 'State', tight: true, cell: ({ state }) => <Badge state={state} /> },
        { title: 'Kind', show: 'if-roomy', cell: ({ kind }) => kind },
        { title: 'Attempts', align: 'right', show: 'if-roomy', cell: ({ attempts }) => attempts },
      ]}
    />
  )
}
