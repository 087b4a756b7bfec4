import { expect, test } from 'vitest'
import type { RecordedEvent } from '../src/event/recorded-event.ts'
import type { EventSequence } from '../src/event/sequence.ts'
import type { SetAside } from '../src/listener/failed/dead-letters.ts'
import { batchOf, before } from '../src/listener/read/consumer.ts'

const at = (sequence: bigint) => ({ sequence }) as RecordedEvent
const asideAt = (sequence: bigint) => ({ event: at(sequence) }) as unknown as SetAside

test('a batch that ends early sets aside nothing of what comes after its end', () => {
  const batch = batchOf({
    events: [at(1n), at(4n), at(6n)],
    aside: [asideAt(2n), asideAt(5n), asideAt(7n)],
    through: 9n as EventSequence,
  })
  const handled = before(batch, 6n as EventSequence)
  expect(handled.events.map(({ sequence }) => sequence)).toEqual([1n, 4n])
  expect(handled.aside.map(({ event }) => event.sequence)).toEqual([2n, 5n])
  expect(handled.through).toBe(5n)
})
