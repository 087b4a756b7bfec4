import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newJobId, repeatableJobId } from '../../packages/core/src/job/spawned/job-id.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-(?<version>[78])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/u

test('new ids are different, valid and in the order of their making, however fast they are made', () => {
  const ids = Array.from({ length: 20_000 }, newJobId)
  expect(ids.every((id) => uuid.exec(id)?.groups?.['version'] === '7')).toBe(true)
  expect(new Set(ids).size).toBe(ids.length)
  expect(ids).toEqual(ids.toSorted())
})

test('a repeatable id is the same for the same seed and another for another, in the order of events', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.nat(4094), fc.nat(62), (one, two, order, index) => {
      const at = new Date(1_700_000_000_000)
      const id = repeatableJobId({ seed: one, at, order, index })
      const later = repeatableJobId({ seed: two, at, order: order + 1 })
      const next = repeatableJobId({ seed: two, at, order, index: index + 1 })
      return (
        uuid.test(id) &&
        repeatableJobId({ seed: one, at, order, index }) === id &&
        (repeatableJobId({ seed: two, at, order, index }) === id) === (one === two) &&
        later > id &&
        next > id
      )
    }),
  )
})
