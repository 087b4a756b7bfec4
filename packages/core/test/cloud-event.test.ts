import { describe, expect, test } from 'vitest'
import { sequenceZero, type EventSequence } from '../src/event/sequence.ts'
import { headersOf, messageFrom, structuredOf } from '../src/relay/cloud-event.ts'
import type { RelayedMessage } from '../src/relay/message.ts'

const message: RelayedMessage = {
  install: '7f0c4f3e-6b0e-4f39-9d3c-2f6f4a0f1f10',
  sequence: 7n as EventSequence,
  previous: sequenceZero,
  id: 'b0a2a0c6-3a58-4b36-8b2f-6d5d1a3e2f01',
  type: 'orders.placed',
  version: 1,
  stream: 'order-ü',
  streamVersion: 1n,
  key: '100 %',
  // What SQL publishes: no number of JavaScript holds these.
  payload: '{"cents": 123456789012345678901, "rate": 1.10, "data":"}"}',
  payloadMeta: null,
  correlationId: null,
  causationId: null,
  traceparent: null,
  tracestate: null,
  metadata: null,
  recordedAt: new Date('2026-11-28T10:00:00Z'),
}

function read({ headers, body }: ReturnType<typeof structuredOf>): RelayedMessage | undefined {
  return messageFrom(new Map(Object.entries(headers)), body)
}

describe('a message', () => {
  test('comes back in binary mode as it was', () => {
    expect(read({ headers: headersOf(message), body: message.payload })).toEqual(message)
  })

  test('comes back in structured mode as it was, to the letter', () => {
    expect(read(structuredOf(message))).toEqual(message)
    expect(read(structuredOf(message, { 'tidemark-position': '3' }))).toEqual(message)
  })

  test('keeps its numbers where somebody has written its document anew', () => {
    const { headers, body } = structuredOf(message)
    const { data, ...attributes } = JSON.parse(body) as { data: unknown }
    expect(data).toBeDefined()
    // Other order, other blanks.
    const anew = `{ "data": ${message.payload}, ${JSON.stringify(attributes).slice(1)}`
    expect(read({ headers, body: anew })).toEqual({
      ...message,
      payload: '{"cents":123456789012345678901,"rate":1.10,"data":"}"}',
    })
  })

  test.each(['', 'null', '[]', '{', '"text"', '5'])('is none in the document %j', (body) => {
    const { headers } = structuredOf(message)
    expect(read({ headers, body })).toBeUndefined()
  })
})
