import fc from 'fast-check'
import { defineJob, defineSchedule, silentLogger, type ScheduleOptions } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { Database } from '../../packages/core/src/database/pool.ts'
import { JobRegistry } from '../../packages/core/src/job/defined/job-registry.ts'
import { JobSpawner } from '../../packages/core/src/job/spawned/job-spawner.ts'
import { Scheduler } from '../../packages/core/src/job/spawned/scheduler.ts'
import { judge } from '../../packages/core/src/job/spawned/ticks.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'

const database = useFreshDatabase()
const job = defineJob('ticked', { input: z.object({}), run: () => {} })
const minute = 60_000
const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'] as const
const crons = ['*/10 * * * *', '30 2 * * *', '0 * * * *', '15 1,2,3 * * *'] as const

function schedule(options: Partial<ScheduleOptions<object>>) {
  return defineSchedule('ticking', { cron: '0 * * * *', job, input: () => ({}), ...options })
}

function ticksBetween(of: ReturnType<typeof schedule>, first: Date, last: number): string[] {
  const ticks: string[] = []
  for (let at: Date | null = first; at !== null && at.getTime() <= last; at = of.nextAfter(at)) {
    ticks.push(at.toISOString())
  }
  return ticks
}

test('however the clock jumps, forwards, backwards and over its own changes, each tick is judged once and in order', () => {
  const changes = [
    '2026-03-28T20:00:00Z',
    '2026-10-24T20:00:00Z',
    '2026-03-08T00:00:00Z',
    '2026-11-01T00:00:00Z',
  ]
  fc.assert(
    fc.property(
      fc.constantFrom(...crons),
      fc.constantFrom(...zones),
      fc.constantFrom('none' as const, 'last' as const, 'all' as const),
      fc.constantFrom(...changes),
      // Each look at the clock, in minutes after the last one; it may have been set back, or an hour may be gone.
      fc.array(fc.integer({ min: -180, max: 240 }), { minLength: 1, maxLength: 40 }),
      (cron, timeZone, catchUp, start, steps) => {
        const of = schedule({ cron, timeZone, catchUp })
        const first = of.nextAfter(new Date(start)) as Date
        let now = new Date(start).getTime()
        let latest = now
        let next: Date | null = first
        const judged: { at: string; outcome: string }[] = []
        for (const step of steps) {
          now += step * minute
          latest = Math.max(latest, now)
          if (next === null || next.getTime() > now) continue
          const look = judge(of, {
            next_at: next,
            now: new Date(now),
            status: 'active',
            overlaps: false,
          })
          judged.push(...look.ticks.map(({ at, outcome }) => ({ at: at.toISOString(), outcome })))
          const fired = look.ticks.filter(({ outcome }) => outcome === 'fired')
          const inTime = look.ticks.filter(({ at }) => now - at.getTime() <= 30_000)
          const wanted = {
            all: look.ticks,
            last: look.ticks.slice(-1),
            none: inTime.slice(-1),
          }
          expect(fired).toEqual(wanted[catchUp])
          next = look.next
        }
        expect(judged.map(({ at }) => at)).toEqual(ticksBetween(of, first, latest))
      },
    ),
  )
})

test('on the day on which an hour is left out, and on the one that has an hour twice, half-hourly ticks keep their distance', () => {
  const of = schedule({ cron: '*/30 * * * *', timeZone: 'Europe/Berlin' })
  const distances = (from: string, to: string): Set<number> => {
    const ticks = ticksBetween(of, of.nextAfter(new Date(from)) as Date, Date.parse(to))
    return new Set(
      ticks.slice(1).map((at, index) => Date.parse(at) - Date.parse(ticks[index] ?? '')),
    )
  }
  expect(distances('2026-03-28T12:00:00Z', '2026-03-30T12:00:00Z')).toEqual(new Set([30 * minute]))
  expect(distances('2026-10-24T12:00:00Z', '2026-10-26T12:00:00Z')).toEqual(new Set([30 * minute]))
})

test('a process whose own clock is a year ahead or behind moves no schedule, and fires nothing', async () => {
  const yearly = schedule({ cron: '0 0 1 1 *' })
  const registry = new JobRegistry()
  registry.add(job)
  const environment = {
    database: new Database({ connectionString: database.url }, 'test scheduler', () => {}),
    spawner: new JobSpawner('tidemark', registry),
    logger: silentLogger,
  }
  const scheduler = new Scheduler(environment, [yearly])
  const look = async () =>
    (await database.query('select name, next_at from tidemark.schedules')).rows
  try {
    await scheduler.sync()
    const before = await look()
    expect(before).toHaveLength(1)
    for (const years of [-1, 1]) {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + years * 370 * 24 * 60 * minute })
      await scheduler.sync()
      expect(await scheduler.fire()).toBe(0)
      vi.useRealTimers()
      expect(await look()).toEqual(before)
    }
  } finally {
    vi.useRealTimers()
    await environment.database.close()
  }
})
