import { defineJob, defineSchedule, type ScheduleOptions } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { judge } from '../../packages/core/src/job/spawned/ticks.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const job = defineJob('ticked', { input: z.object({ tick: z.date() }), run: () => {} })

function schedule(options: Partial<ScheduleOptions<{ tick: Date }>> = {}) {
  return defineSchedule('ticking', {
    cron: '*/10 * * * *',
    job,
    input: (tick) => ({ tick }),
    ...options,
  })
}

/** What becomes of the ticks between two times. */
function ticks(
  options: Partial<ScheduleOptions<{ tick: Date }>>,
  from: string,
  now: string,
  more: { status?: 'active' | 'paused'; overlaps?: boolean } = {},
): string[] {
  const { ticks: judged } = judge(schedule(options), {
    next_at: new Date(from),
    now: new Date(now),
    status: 'active',
    overlaps: false,
    ...more,
  })
  return judged.map(({ at, outcome }) => `${at.toISOString().slice(11, 16)} ${outcome}`)
}

describe('an hour in which nobody was there', () => {
  const from = '2026-03-01T10:00:00Z'
  const now = '2026-03-01T11:02:00Z'
  const hour = ['10:00', '10:10', '10:20', '10:30', '10:40', '10:50', '11:00']
  const all = (outcome: string): string[] => hour.map((time) => `${time} ${outcome}`)

  test('is caught up with its last tick, with all of them, or with none', () => {
    expect(ticks({ catchUp: 'last' }, from, now)).toEqual([
      ...all('missed').slice(0, -1),
      '11:00 fired',
    ])
    expect(ticks({ catchUp: 'all' }, from, now)).toEqual(all('fired'))
    expect(ticks({ catchUp: 'none' }, from, now)).toEqual(all('missed'))
  })

  test('of a paused schedule fires nothing, and one that overlaps is recorded', () => {
    expect(ticks({ catchUp: 'all' }, from, now, { status: 'paused' })).toEqual(all('paused'))
    expect(ticks({}, from, now, { overlaps: true }).at(-1)).toBe('11:00 overlapped')
    expect(ticks({ overlap: 'allow' }, from, now, { overlaps: true }).at(-1)).toBe('11:00 fired')
  })

  test('does not stop a tick that is in time', () => {
    expect(ticks({ catchUp: 'none' }, from, '2026-03-01T10:00:01Z')).toEqual(['10:00 fired'])
  })
})

describe('when the clocks change in Berlin', () => {
  const daily = schedule({ cron: '30 2 * * *', timeZone: 'Europe/Berlin' })
  const after = (time: string): string | undefined => daily.nextAfter(new Date(time))?.toISOString()

  test('a tick in the hour that does not exist fires that day, once', () => {
    const first = after('2026-03-28T12:00:00Z') ?? ''
    // 02:30 does not exist on 29 March 2026; 01:00 UTC is 03:00.
    expect(first.slice(0, 13)).toBe('2026-03-29T01')
    expect(after(first)).toBe('2026-03-30T00:30:00.000Z')
  })

  test('a tick in the hour that comes twice fires once', () => {
    const first = after('2026-10-24T12:00:00Z') ?? ''
    expect(first).toBe('2026-10-25T00:30:00.000Z')
    expect(after(first)).toBe('2026-10-26T01:30:00.000Z')
  })
})

test('of two processes one fires each tick, and the job says who spawned it', async () => {
  const everySecond = schedule({ cron: '* * * * * *', overlap: 'allow', catchUp: 'all' })
  await using one = appOn(database, [everySecond])
  await using two = appOn(database, [everySecond])
  await one.start()
  await two.start()
  await until(
    database,
    `select (count(*) >= 3) as enough from tidemark.schedule_ticks where outcome = 'fired'`,
    true,
  )
  await Promise.all([one.close(), two.close()])
  const { rows } = await database.query<{ tick: Date; job: string }>(
    'select tick, job from tidemark.schedule_ticks order by tick',
  )
  const jobs = await database.query<{ id: string; tick: string; triggered_by: string }>(
    `select id, input ->> 'tick' as tick, triggered_by from tidemark.jobs order by 2`,
  )
  expect(jobs.rows.map(({ id, tick }) => [id, tick])).toEqual(
    rows.map(({ tick, job: id }) => [id, tick.toISOString()]),
  )
  expect(new Set(jobs.rows.map(({ triggered_by: by }) => by))).toEqual(
    new Set(['schedule:ticking']),
  )
  const seconds = rows.map(({ tick }) => tick.getTime() / 1000)
  expect(seconds).toEqual(seconds.map((_, index) => (seconds[0] ?? 0) + index))
})

test('an outage is caught up by the policy when a process comes back', async () => {
  const hourly = schedule({ cron: '0 * * * *', catchUp: 'all' })
  await using app = appOn(database, [hourly])
  const first = await app.start()
  await until(database, 'select count(*)::int from tidemark.schedules', 1)
  await first.stop()
  await database.query(
    `update tidemark.schedules set next_at = date_trunc('hour', now()) - interval '4 hours'`,
  )
  await app.start()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 5)
  expect((await app.jobs.schedules.ticks('ticking')).map(({ outcome }) => outcome)).toEqual(
    Array.from({ length: 5 }, () => 'fired'),
  )
})

test('a schedule that cannot work is refused', () => {
  expect(() => schedule({ cron: 'every day' })).toThrow(/TIDEMARK_INVALID_OPTION/u)
  expect(() => schedule({ timeZone: 'Mars/Olympus' })).toThrow(/TIDEMARK_INVALID_OPTION/u)
  expect(() => schedule({ overlap: 'maybe' as never })).toThrow(/"overlap" cannot be "maybe"/u)
})
