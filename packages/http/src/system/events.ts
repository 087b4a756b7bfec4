import type { EventSearch, EventSequence, FoundEvent, InspectedEvent } from 'tidemark'
import { denied } from '../access/access.ts'
import type { Veil } from '../access/veil.ts'
import { toJson } from '../answers/json.ts'
import { invalidRequest } from '../answers/problem.ts'
import {
  eventQuery,
  given,
  sequenceIn,
  streamQuery,
  streamsQuery,
  type EventQuery,
  type NamesQuery,
  type StreamQuery,
} from './queries.ts'
import { route, type Route } from './route.ts'

// In a list, and alone: what a person reads, and what a browser can show.
// A person waits for it: of 8 kB each, in a sample of a large outbox.
const sampledPages = 1_024
const listedBytes = 4_096
const wholeBytes = 262_144

/** Looking at events and streams. */
export const eventRoutes: readonly Route[] = [
  route<EventQuery>({
    method: 'get',
    path: '/events',
    id: 'listEvents',
    summary: 'Look for events, newest first. One answer looks at a bounded number of them.',
    action: 'events',
    query: eventQuery,
    answer: 'Events',
    handle: async ({ app, query, veil: ask }) => {
      const veil = await ask()
      const search = searchOf(query)
      if (search.payload !== undefined && veil.hides(search.payload.path)) {
        throw denied('you may not search by what you may not see')
      }
      const { events, next, horizon } = await app.outbox.search(search)
      return { events: events.map((event) => eventBody(event, veil)), next, horizon }
    },
  }),
  route({
    method: 'get',
    path: '/event-types',
    id: 'listEventTypes',
    summary:
      'The types and versions of events that are stored, and whether this application reads them',
    action: 'events',
    answer: 'EventTypes',
    handle: ({ app }) => app.storedTypes({ pages: sampledPages }),
  }),
  route({
    method: 'get',
    path: '/events/{sequence}',
    id: 'getEvent',
    summary: 'One event as it is stored, and what each listener has made of it',
    action: 'events',
    about: 'event',
    answer: 'EventDetails',
    handle: async ({ app, path, veil: ask }) => {
      const veil = await ask()
      const event = await find(app.outbox, sequenceIn(path))
      const received = await app.listeners.received({ ...event, key: event.key ?? event.stream })
      return {
        event: eventBody(event, veil),
        received: received.map((one) => ({ ...one, error: veil.error(one.error) })),
      }
    },
  }),
  route({
    method: 'get',
    path: '/events/{sequence}/decoded',
    id: 'decodeEvent',
    summary:
      'One event as a handler of this application would see it: upcast, and checked by its schema',
    action: 'events',
    about: 'event',
    answer: 'DecodedEvent',
    handle: async ({ app, path, veil: ask }) => {
      const veil = await ask()
      const sequence = sequenceIn(path)
      const decoded = await app.outbox.decode(sequence as EventSequence)
      if (decoded === undefined) throw noEvent(sequence)
      const { event, error, defined } = decoded
      return {
        defined,
        event: event === undefined ? null : decodedBody(event, veil),
        error: error === undefined ? null : veil.error(error),
      }
    },
  }),
  route({
    method: 'get',
    path: '/events/{sequence}/trace',
    id: 'traceEvent',
    summary: 'What led to an event and what came of it, as a tree in the order of reading',
    action: 'events',
    about: 'event',
    answer: 'EventTrace',
    handle: async ({ app, path }) => {
      const sequence = sequenceIn(path)
      const trace = await app.outbox.trace(sequence as EventSequence)
      if (trace === undefined) throw noEvent(sequence)
      return trace
    },
  }),
  route<NamesQuery>({
    method: 'get',
    path: '/streams',
    id: 'listStreams',
    summary: 'List streams by name',
    action: 'streams',
    query: streamsQuery,
    answer: 'Streams',
    handle: async ({ app, query }) => {
      const { limit = 100, ...rest } = query
      // One more says whether there is another page.
      const found = await app.outbox.streams({ ...given(rest), limit: limit + 1 })
      const streams = found.slice(0, limit)
      return { streams, next: found.length > limit ? streams.at(-1)?.stream : null }
    },
  }),
  route<StreamQuery>({
    method: 'get',
    path: '/streams/{stream}',
    id: 'getStream',
    summary: 'The version of a stream and its events, in the order of versions',
    action: 'streams',
    about: 'stream',
    query: streamQuery,
    answer: 'Stream',
    handle: async ({ app, path, query, veil: ask }) => {
      const veil = await ask()
      const { limit = 100, after = '0' } = query
      const stream = path['stream'] as string
      const found = await app.outbox.inspectStream(stream, { after: BigInt(after), limit })
      if (found === undefined) throw invalidRequest(404, `there is no stream "${stream}"`)
      const last = found.events.at(-1)?.streamVersion ?? null
      const more = last !== null && last < found.version
      return {
        stream,
        version: found.version,
        events: found.events.map((event) => eventBody(cut(event, listedBytes), veil)),
        next: more ? last : null,
      }
    },
  }),
]

function searchOf(query: EventQuery): EventSearch {
  const { type, stream, key, id, correlation, causation, limit } = query
  const { since, until, path, equals, after, before } = query
  return {
    ...given({
      types: type,
      stream,
      key,
      id,
      correlationId: correlation,
      causationId: causation,
      limit,
    }),
    ...(since === undefined ? {} : { since: new Date(since) }),
    ...(until === undefined ? {} : { until: new Date(until) }),
    ...(path === undefined ? {} : { payload: { path: path.split('.'), ...given({ equals }) } }),
    ...(after === undefined ? {} : { after: BigInt(after) as EventSequence }),
    ...(before === undefined ? {} : { before: BigInt(before) as EventSequence }),
    payloadLimit: listedBytes,
  }
}

async function find(
  outbox: { search: (search: EventSearch) => Promise<{ events: readonly FoundEvent[] }> },
  sequence: bigint,
): Promise<FoundEvent> {
  // Sequences begin with one.
  if (sequence < 1n) throw noEvent(sequence)
  const { events } = await outbox.search({
    after: (sequence - 1n) as EventSequence,
    before: (sequence + 1n) as EventSequence,
    payloadLimit: wholeBytes,
  })
  const [event] = events
  if (event === undefined) throw noEvent(sequence)
  return event
}

function noEvent(sequence: bigint): Error {
  return invalidRequest(
    404,
    `there is no event ${sequence}`,
    'Sequences have gaps: a transaction that rolled back has used some up.',
  )
}

/** An event as the stream's query has it, which does not know how large its payload is. */
function cut(event: InspectedEvent, most: number): FoundEvent {
  const payloadBytes = Buffer.byteLength(toJson(event.payload))
  const payloadCut = payloadBytes > most
  return { ...event, payloadBytes, payloadCut, payload: payloadCut ? null : event.payload }
}

function eventBody(event: FoundEvent, veil: Veil): object {
  const { payloadMeta, metadata, ...rest } = event
  return {
    ...rest,
    payload: veil.payload('event', event.type, event.payload),
    payloadMeta: veil.beside(payloadMeta),
    metadata: veil.beside(metadata),
    payloadHidden: !veil.open,
  }
}

function decodedBody(
  event: { readonly type: string; readonly payload: unknown; readonly metadata: unknown },
  veil: Veil,
): object {
  // What JSON cannot say is said as everywhere here, so that what is hidden in it is found.
  const text = toJson(event.payload) as string | undefined
  const payload = text === undefined ? null : (JSON.parse(text) as unknown)
  const small = text === undefined || text.length <= wholeBytes
  return {
    ...event,
    payload: small ? veil.payload('event', event.type, payload) : null,
    payloadCut: !small,
    metadata: veil.beside(event.metadata),
    payloadHidden: !veil.open,
  }
}
