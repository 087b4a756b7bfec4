import type { InspectedEvent } from 'tidemark'
import type { Column } from './output.ts'
import { toJson } from './output.ts'

/** How events are shown in a table. */
export const eventColumns: readonly Column<InspectedEvent>[] = [
  { heading: 'SEQUENCE', value: (event) => event.sequence, align: 'right' },
  { heading: 'RECORDED AT', value: (event) => event.recordedAt },
  { heading: 'TYPE', value: (event) => event.type },
  { heading: 'STREAM', value: (event) => streamOf(event) },
  { heading: 'PAYLOAD', value: (event) => shortened(toJson(event.payload), 80) },
]

/** An event in one line, for following the outbox. */
export function eventLine(event: InspectedEvent): string {
  const { sequence, recordedAt, type, stream, payload } = event
  return [
    String(sequence).padStart(8),
    recordedAt.toISOString(),
    type,
    ...(stream === null ? [] : [streamOf(event)]),
    toJson(payload),
  ].join('  ')
}

/** The stream and the event's place in it, as `account-1@3`. */
export function streamOf({ stream, streamVersion }: InspectedEvent): string | null {
  return stream === null ? null : `${stream}@${streamVersion}`
}

function shortened(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}
