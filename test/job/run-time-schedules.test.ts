import { defineJob, defineSchedule, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const report = defineJob('report', {
  input: z.object({ customer: z.string(), since: z.date().optional() }),
  run: () => {},
})
const nightly = defineSchedule('nightly', {
  cron: '0 3 * * *',
  job: report,
  input: { customer: 'all' },
})
const completed = `select count(*)::int from tidemark.jobs where status = 'completed'`
const due = `update tidemark.schedules set next_at = now()`

async function names(app: App): Promise<string[]> {
  return (await app.jobs.schedules.list()).map(({ name, source }) => `${name} ${source}`)
}

test('a schedule for each customer is made, changed, run, paused and removed at run time, beside those in code', async () => {
  await using app = appOn(database, [report, nightly])
  const { schedules } = app.jobs
  await app.start()
  await until(database, 'select count(*)::int from tidemark.schedules', 1)
  const since = new Date('2026-01-01T00:00:00Z')
  for (const customer of ['ada', 'bob']) {
    const input = { customer, since }
    await schedules.put(`report.${customer}`, { cron: '0 8 * * 1', job: report, input })
  }
  expect(await names(app)).toEqual(['nightly code', 'report.ada runtime', 'report.bob runtime'])
  const before = await schedules.get('report.ada')
  expect(before).toMatchObject({
    job: 'report',
    input: { customer: 'ada', since },
    timeZone: 'UTC',
  })

  // The same times: the next tick stays. Others: it starts anew.
  await schedules.put('report.ada', {
    cron: '0 8 * * 1',
    job: 'report',
    input: { customer: 'eve' },
  })
  expect((await schedules.get('report.ada')).nextAt).toEqual(before.nextAt)
  await schedules.put('report.ada', { cron: '0 9 * * 1', job: report, input: { customer: 'eve' } })
  expect((await schedules.get('report.ada')).nextAt).not.toEqual(before.nextAt)

  await schedules.pause('report.bob')
  await database.query(`${due} where source = 'runtime'`)
  await until(database, completed, 1)
  await until(database, `select count(*)::int from tidemark.schedule_ticks`, 2)
  const jobs = await app.jobs.list()
  expect(jobs).toMatchObject([{ input: { customer: 'eve' }, triggeredBy: 'schedule:report.ada' }])
  expect(await schedules.ticks('report.bob')).toMatchObject([{ outcome: 'paused', job: null }])

  const handle = await schedules.run('report.bob', { triggeredBy: 'carol' })
  await handle.result()
  expect(await app.jobs.get(handle.id)).toMatchObject({
    input: { customer: 'bob', since },
    triggeredBy: 'carol',
  })
  await schedules.remove('report.ada')
  expect(await names(app)).toEqual(['nightly code', 'report.bob runtime'])
  // Made again, it does not find the jobs of its namesake.
  await schedules.put('report.ada', {
    cron: '* * * * * *',
    job: report,
    input: { customer: 'ada' },
  })
  await until(database, `select count(*) > 3 from tidemark.jobs where status = 'completed'`, true)
})

test('it is made in the transaction that makes the customer, or not at all', async () => {
  await using app = appOn(database, [report])
  const put = { cron: '@daily', job: report, input: { customer: 'ada' } }
  const client = await database.connect()
  try {
    await client.query('begin')
    await app.jobs.schedules.put('report.ada', put, { tx: client })
    await client.query('rollback')
    expect(await names(app)).toEqual([])
    await client.query('begin')
    await app.jobs.schedules.put('report.ada', put, { tx: client })
    await client.query('commit')
    expect(await names(app)).toEqual(['report.ada runtime'])
  } finally {
    await client.end()
  }
})

test('what cannot work is refused, and a name in code is not taken', async () => {
  await using app = appOn(database, [report, nightly])
  const { schedules } = app.jobs
  const good = { cron: '@daily', job: report, input: { customer: 'ada' } }
  const refused = (name: string, more: object, code: RegExp): Promise<void> =>
    expect(schedules.put(name, { ...good, ...more })).rejects.toThrow(code)
  await refused('nightly', {}, /TIDEMARK_NAME_TAKEN/u)
  await refused('a\0b', {}, /TIDEMARK_INVALID_OPTION/u)
  await refused('a', { cron: 'soon' }, /TIDEMARK_INVALID_OPTION/u)
  await refused('a', { cron: '@daily\0' }, /TIDEMARK_INVALID_OPTION/u)
  await refused('a', { timeZone: 'Mars' }, /TIDEMARK_INVALID_OPTION/u)
  await refused('a', { input: {} }, /TIDEMARK_INVALID_INPUT/u)
  await refused('a', { job: 'reprot' }, /TIDEMARK_UNKNOWN_JOB_TYPE/u)
  await refused('a', { every: 5 }, /has no option "every"/u)
  const carried = defineJob('carried', { input: z.any(), context: z.object({}), run: () => {} })
  const unkeyed = defineJob('unkeyed', {
    input: z.any(),
    uniqueKey: () => {
      throw new Error('no key')
    },
    run: () => {},
  })
  await refused('a', { job: carried }, /TIDEMARK_INVALID_INPUT/u)
  await refused('a', { job: unkeyed }, /TIDEMARK_INVALID_INPUT/u)
  expect(() => defineSchedule('a', { cron: '@daily', job: carried, input: 1 })).toThrow(
    /carried needs a context/u,
  )
  for (const look of ['get', 'remove', 'pause', 'resume', 'run'] as const) {
    await expect(schedules[look]('nihgtly')).rejects.toThrow(/TIDEMARK_UNKNOWN_SCHEDULE/u)
  }
  await app.start()
  await until(database, 'select count(*)::int from tidemark.schedules', 1)
  await expect(schedules.remove('nightly')).rejects.toThrow(/TIDEMARK_UNKNOWN_SCHEDULE/u)
  await using other = appOn(database, [report])
  await expect(other.jobs.schedules.put('nightly', good)).rejects.toThrow(/TIDEMARK_NAME_TAKEN/u)
})

test('one schedule whose input throws, or answers nonsense, stops no other', async () => {
  const logger = new LogBook()
  const everySecond = { cron: '* * * * * *', job: report, overlap: 'allow' } as const
  const broken = [
    defineSchedule('a_throws', {
      ...everySecond,
      input: () => {
        throw new Error('as told')
      },
    }),
    defineSchedule('b_promises', {
      ...everySecond,
      input: (async () => {
        throw new Error('nobody waits for it')
      }) as never,
    }),
    defineSchedule('c_nonsense', { ...everySecond, input: () => ({ customer: 7 }) as never }),
  ]
  const good = defineSchedule('d_good', { ...everySecond, input: { customer: 'ada' } })
  await using app = appOn(database, [...broken, good], { logger })
  await app.start()
  await until(database, `select count(*) >= 2 from tidemark.jobs where status = 'completed'`, true)
  for (const { name } of broken) {
    await until(
      database,
      `select count(*) >= 2 from tidemark.schedule_ticks where schedule = $1 and outcome = 'failed'`,
      true,
      [name],
    )
    const [tick] = await app.jobs.schedules.ticks(name)
    expect(tick).toMatchObject({
      outcome: 'failed',
      job: null,
      error: { message: expect.any(String) },
    })
  }
})

test('a stored schedule that has become nonsense stops no other', async () => {
  await using app = appOn(database, [report])
  const put = { cron: '* * * * * *', job: report, input: { customer: 'ada' } }
  await app.jobs.schedules.put('a_broken', put)
  await app.jobs.schedules.put('b_good', put)
  await database.query(
    `update tidemark.schedules set time_zone = 'Mars/Olympus' where name = 'a_broken'`,
  )
  await app.start()
  await until(database, `select count(*) >= 2 from tidemark.jobs where status = 'completed'`, true)
  expect(await app.jobs.schedules.ticks('a_broken')).toEqual([])
})

test('a tick whose job has its unique key taken names that job', async () => {
  const single = defineJob('single', {
    input: z.string(),
    uniqueKey: (key) => key,
    run: () => {},
  })
  await using app = appOn(database, [single])
  const { id } = await app.jobs.spawn(single, 'k', { delay: '1h' })
  await app.jobs.schedules.put('s', { cron: '* * * * * *', job: single, input: 'k' })
  await app.start()
  await until(database, `select count(*) >= 1 from tidemark.schedule_ticks`, true)
  const ticks = await app.jobs.schedules.ticks('s')
  expect(ticks.at(-1)).toMatchObject({ outcome: 'fired', job: id })
})

test('whether a cron expression is right does not depend on the day', () => {
  const cron = (text: string) => () =>
    defineSchedule('s', { cron: text, job: report, input: { customer: '' } })
  const once = ['2026-12-31T00:00:00', '2020-01-01T00:00:00', '2999-12-31T00:00:00Z', '2026-12-31']
  const years = ['0 0 0 1 1 * 2026', '0 0 0 1 1 * 2999']
  const never = ['0 0 30 2 *', '0 0 31 4,6 *', '', ' ', '* * * *', '@sometimes']
  for (const text of [...once, ...years, ...never])
    expect(cron(text)).toThrow(/TIDEMARK_INVALID_OPTION/u)
  const good = ['0 0 29 2 *', '* * * * *', '*/5 * * * * *', '@daily', '0 0 L * *', ' 0 3  * * 1 ']
  for (const text of good) expect(cron(text)).not.toThrow()
})
