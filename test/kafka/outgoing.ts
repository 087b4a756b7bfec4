import { randomUUID } from 'node:crypto'
import { toEventSequence, type OutgoingMessage } from 'tidemark'

/** The outbox that messages made here come from. */
export const install = '0b7e4c1e-0000-4000-8000-000000000000'

/** A message as a relay sends it, of a sequence that follows the one before it. */
export function outgoing(
  sequence: bigint,
  { key = null, payload = '{}' }: { key?: string | null; payload?: string } = {},
): OutgoingMessage {
  const event = { sequence: toEventSequence(sequence), type: 'test.noted', key }
  return {
    event: event as OutgoingMessage['event'],
    install,
    sequence: event.sequence,
    previous: toEventSequence(sequence - 1n),
    id: randomUUID(),
    type: 'test.noted',
    version: 1,
    stream: null,
    streamVersion: null,
    key,
    payload,
    payloadMeta: null,
    correlationId: null,
    causationId: null,
    traceparent: null,
    tracestate: null,
    metadata: null,
    recordedAt: new Date(0),
  }
}

/** Messages of the sequences from one to another, with keys in turn. */
export function range(from: number, to: number, keys = 0): OutgoingMessage[] {
  return Array.from({ length: to - from + 1 }, (_, index) =>
    outgoing(BigInt(from + index), { key: keys === 0 ? null : `k${(from + index) % keys}` }),
  )
}
