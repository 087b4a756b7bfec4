import { expect, it } from 'vitest'
import { batchSize, capacity, predict } from '../src/scale/cost-model.ts'
import { nameOf } from '../src/scale/counts.ts'

const handled = {
  kind: 'handle',
  events: 10_000,
  listeners: 10,
  processes: 1,
  together: batchSize,
  seconds: 0,
} as const

it('each listener commits once for a batch, however many processes there are', () => {
  const one = predict(handled)
  expect(predict({ ...handled, processes: 5 }).commits).toBe(one.commits)
  const more = predict({ ...handled, listeners: 11 })
  expect(more.commits - one.commits).toBe(handled.events / batchSize)
  const alone = predict({ ...handled, together: 1 })
  expect(alone.commits).toBe(handled.events * (handled.listeners + 1))
})

it('each event is read once in each process that runs listeners, and in no other', () => {
  const read = (processes: number): number => predict({ ...handled, processes }).rows
  expect(read(5) - read(1)).toBe(4 * handled.events)
  expect(read(50)).toBe(read(10))
})

it('idle processes cost the same each second, and more with jobs', () => {
  const idle = { kind: 'idle', processes: 2, listeners: 4, jobs: false, seconds: 10 } as const
  const { statements, walBytes } = predict(idle)
  expect(predict({ ...idle, processes: 4 }).statements).toBe(2 * statements)
  expect(predict({ ...idle, listeners: 8 }).walBytes).toBeGreaterThan(walBytes)
  expect(predict({ ...idle, jobs: true }).statements).toBeGreaterThan(2 * statements)
})

it('a server is full when its processors are', () => {
  const time = { published: 100, handledAlone: 200, handledTogether: 1 }
  const listeners = 5
  expect(capacity(time, { cores: 1, listeners, alone: true })).toBeCloseTo(1e6 / 1100)
  expect(capacity(time, { cores: 2, listeners, alone: false })).toBeCloseTo(2e6 / 105)
})

it('a statement is named by its verb and by what it is about', () => {
  expect(nameOf('-- why\nUPDATE "tidemark".cursors SET cursor = $1')).toBe('UPDATE cursors')
  expect(nameOf('SELECT "tidemark".next_job_due() AS due')).toBe('next_job_due()')
  expect(nameOf('COMMIT')).toBe('COMMIT')
})
