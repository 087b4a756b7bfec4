import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, context } from '@opentelemetry/api'
import { defineEvent, defineListener, toEventSequence, type RecordedEvent } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { Sdk } from './sdk.ts'

const database = useFreshDatabase()
const answered = defineEvent('test.answered', { payload: z.object({ to: z.string() }) })

/** The context of each stored event, in order. */
async function storedContexts(): Promise<{ traceparent: string; tracestate: string | null }[]> {
  const { rows } = await database.query<{ traceparent: string; tracestate: string | null }>(
    'select traceparent, tracestate from tidemark.events order by sequence',
  )
  return rows
}

test('without an SDK events carry no context, and everything works', async () => {
  await using app = appOn(database, [recorder('ledger')])
  const { sequence } = await app.publish(noted({ note: 'quiet' }))
  await app.start()
  await app.waitFor('ledger', sequence)
  expect(await storedContexts()).toEqual([{ traceparent: null, tracestate: null }])
})

test('publish is a producer span in the trace of its caller, and its events carry its context', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [noted])
  const caller = trace.getTracer('test').startSpan('request')
  const { id } = await context.with(trace.setSpan(ROOT_CONTEXT, caller), () =>
    app.publish(noted({ note: 'one' })),
  )
  caller.end()

  const span = await sdk.spanNamed('publish test.noted')
  expect(span.kind).toBe(SpanKind.PRODUCER)
  expect(span.parentSpanContext?.spanId).toBe(caller.spanContext().spanId)
  expect(span.attributes).toMatchObject({
    'messaging.system': 'tidemark',
    'messaging.operation.type': 'send',
    'messaging.destination.name': 'test.noted',
    'messaging.message.id': id,
    'messaging.batch.message_count': 1,
    'tidemark.sequence.last': 1,
  })
  const { traceId, spanId } = span.spanContext()
  expect(await storedContexts()).toEqual([
    { traceparent: `00-${traceId}-${spanId}-01`, tracestate: null },
  ])
})

test('what a transaction publishes is one span, which fails with the transaction', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [noted, answered])
  await app.transaction(async (tx) => {
    tx.publish(noted({ note: 'one' }))
    tx.publish(answered({ to: 'two' }))
  })
  const span = await sdk.spanNamed('publish')
  expect(span.attributes['messaging.batch.message_count']).toBe(2)
  const { traceId, spanId } = span.spanContext()
  const contexts = (await storedContexts()).map(({ traceparent }) => traceparent)
  expect(contexts).toEqual(Array(2).fill(`00-${traceId}-${spanId}-01`))

  const refused = app.transaction(async (tx) => {
    tx.publish(noted({ note: 'never' }))
    throw new TypeError('changed my mind')
  })
  await expect(refused).rejects.toThrow('changed my mind')
  const failed = await sdk.spanNamed('publish test.noted')
  expect(failed.status.code).toBe(SpanStatusCode.ERROR)
  expect(failed.attributes['error.type']).toBe('TypeError')
  // One that publishes nothing has no span.
  await app.transaction(async () => {})
  expect(sdk.spans).toHaveLength(2)
})

test('a batch is a consumer span of its own trace, linked to its events; the handler runs inside of it', async () => {
  await using sdk = new Sdk()
  const active: (string | undefined)[] = []
  const listener = defineListener('replies').on(noted, async (event, { publish }) => {
    active.push(trace.getActiveSpan()?.spanContext().spanId)
    publish(answered({ to: event.payload.note }))
  })
  await using app = appOn(database, [listener])
  await app.publish(noted({ note: 'one' }))
  const { sequence } = await app.publish(noted({ note: 'two' }))
  // The loops must not belong to whatever was active when they were started.
  const starter = trace.getTracer('test').startSpan('start')
  await context.with(trace.setSpan(ROOT_CONTEXT, starter), () => app.start())
  starter.end()
  await app.waitFor(listener, sequence)

  const span = await sdk.spanNamed('process replies')
  expect(span.kind).toBe(SpanKind.CONSUMER)
  expect(span.parentSpanContext).toBeUndefined()
  expect(span.attributes).toMatchObject({
    'messaging.operation.type': 'process',
    'messaging.consumer.group.name': 'replies',
    'messaging.destination.partition.id': '0',
    'messaging.batch.message_count': 2,
    'tidemark.sequence.first': 1,
    'tidemark.sequence.last': 2,
    'tidemark.generation.live': true,
  })
  const published = await sdk.spansNamed('publish test.noted', 2)
  expect(span.links.map((link) => link.context.spanId).toSorted()).toEqual(
    published.map((one) => one.spanContext().spanId).toSorted(),
  )
  const { traceId, spanId } = span.spanContext()
  expect(active).toEqual([spanId, spanId])
  const contexts = (await storedContexts()).map(({ traceparent }) => traceparent)
  expect(contexts.slice(2)).toEqual(Array(2).fill(`00-${traceId}-${spanId}-01`))
})

test('a batch of many traces is linked to the first 32 of them', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [recorder('ledger')])
  const all = Array.from({ length: 40 }, (_, index) => app.publish(noted({ note: `n-${index}` })))
  const published = await Promise.all(all)
  const last = published.reduce((most, { sequence }) => (sequence > most ? sequence : most), 0n)
  await app.start()
  await app.waitFor('ledger', toEventSequence(last))
  const span = await sdk.spanNamed('process ledger')
  expect(span.attributes['messaging.batch.message_count']).toBe(40)
  expect(span.links).toHaveLength(32)
})

test("the trace state of the publisher's trace comes with its context, and back in the link", async () => {
  await using sdk = new Sdk()
  const seen: RecordedEvent[] = []
  const listener = defineListener('seer').on(noted, (event) => void seen.push(event))
  await using app = appOn(database, [listener])
  const traceId = 'a'.repeat(32)
  const traceparent = `00-${traceId}-${'b'.repeat(16)}-01`
  await database.query(
    `insert into tidemark.events (type, payload, traceparent, tracestate)
     values ('test.noted', '{"note": "from afar"}', $1, 'vendor=value'), ('test.noted', '{"note": "odd"}', 'nonsense', null)`,
    [traceparent],
  )
  await app.start()
  await app.waitFor(listener, toEventSequence(2))
  expect(seen.map((event) => event.traceparent)).toEqual([traceparent, 'nonsense'])
  const span = await sdk.spanNamed('process seer')
  // What cannot be read is no link, and no failure.
  expect(span.links).toHaveLength(1)
  expect(span.links[0]?.context).toMatchObject({ traceId, isRemote: true })
  expect(span.links[0]?.context.traceState?.get('vendor')).toBe('value')
})

test('a batch that fails is a failed span; an event that is set aside is a span with its error, linked to the event', async () => {
  await using sdk = new Sdk()
  const listener = defineListener('ledger', {
    retry: { attempts: 2, backoff: () => 5 },
    onFailure: 'park',
  }).on(noted, () => {
    throw new RangeError('cannot stand it')
  })
  await using app = appOn(database, [listener], { logger: new LogBook() })
  const { sequence, id } = await app.publish(noted({ note: 'bad' }))
  await app.start()
  await app.waitFor(listener, sequence)

  const spans = await sdk.spansNamed('process ledger', 3)
  expect(spans.map((span) => span.attributes['error.type'])).toEqual([
    'RangeError',
    'RangeError',
    undefined,
  ])
  expect(spans.map((span) => span.attributes['tidemark.attempt'])).toEqual([1, 2, 1])
  const aside = await sdk.spanNamed('set aside ledger')
  expect(aside.parentSpanContext?.spanId).toBe(spans[2]?.spanContext().spanId)
  expect(aside.attributes).toMatchObject({
    'messaging.message.id': id,
    'tidemark.sequence': Number(sequence),
    'tidemark.dead_letter.state': 'parked',
    'tidemark.attempt': 2,
    'error.type': 'RangeError',
  })
  const [publish] = await sdk.spansNamed('publish test.noted')
  expect(aside.links[0]?.context.spanId).toBe(publish?.spanContext().spanId)
  expect(aside.events[0]?.name).toBe('exception')
})
