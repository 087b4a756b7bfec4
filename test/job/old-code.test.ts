import { defineJob, defineSchedule, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { Sdk } from '../telemetry/sdk.ts'

const database = useFreshDatabase()
const job = defineJob('scheduled', { input: z.string(), run: () => {} })
const lease = { leaseDuration: 1_000 }

function schedule(cron: string, version = 1, input = cron) {
  return defineSchedule('deployed', { cron, version, job, input, catchUp: 'all', overlap: 'allow' })
}

async function stored(): Promise<{ cron: string; version: number; next: Date }> {
  const { rows } = await database.query<{ cron: string; version: number; next: Date }>(
    'select cron, version, next_at as next from tidemark.schedules',
  )
  return rows[0] ?? { cron: '', version: 0, next: new Date(0) }
}

async function inputs(): Promise<unknown[]> {
  const { rows } = await database.query<{ input: string }>(
    'select distinct input from tidemark.jobs',
  )
  return rows.map(({ input }) => input)
}

const untilCron = (cron: string): Promise<void> =>
  until(database, 'select cron from tidemark.schedules', cron)

test('an old process neither moves nor fires a schedule that a newer one defines otherwise', async () => {
  await using old: App = appOn(database, [schedule('0 0 1 1 *')])
  await using young: App = appOn(database, [schedule('* * * * * *')])
  await old.start(lease)
  await untilCron('0 0 1 1 *')
  const running = await young.start(lease)
  await untilCron('* * * * * *')
  await until(database, `select count(*) >= 3 from tidemark.schedule_ticks`, true)
  // The new one pauses; the old one stands before its ticks and lets them be.
  await running.stop()
  const { next } = await stored()
  expect(await inputs()).toEqual(['* * * * * *'])
  expect(next.getTime()).toBeLessThan(Date.now() + 5_000)
})

test('when nobody who lives defines it as it is stored, a process that defines it takes it back', async () => {
  await using young: App = appOn(database, [schedule('* * * * * *')])
  await young.start(lease)
  await untilCron('* * * * * *')
  // An old process is started once more, has the last word, and goes.
  await using old: App = appOn(database, [schedule('0 0 1 1 *')])
  const running = await old.start(lease)
  await untilCron('0 0 1 1 *')
  await running.stop()
  await untilCron('* * * * * *')
  await until(database, `select count(*) >= 2 from tidemark.jobs where status = 'completed'`, true)
  expect(await inputs()).not.toContain('0 0 1 1 *')
})

test('a version that is lower never takes it back, and the one that is awaited is named', async () => {
  const logger = new LogBook()
  await using young: App = appOn(database, [schedule('0 0 1 1 *', 2)])
  const running = await young.start(lease)
  await untilCron('0 0 1 1 *')
  await running.stop()
  await using old: App = appOn(database, [schedule('* * * * * *', 1)], { logger })
  await old.start(lease)
  await logger.wrote(/newer version/u)
  expect(await stored()).toMatchObject({ cron: '0 0 1 1 *', version: 2 })
})

const input1 = z.object({ text: z.string() })
const ran: string[] = []
const one = defineJob('grown', {
  input: input1,
  state: z.object({ page: z.number() }).default({ page: 0 }),
  retry: { attempts: 2, backoff: () => 0 },
  run: (each) => void ran.push(`1 ${each.input.text}`),
})
const two = defineJob('grown', {
  version: 2,
  input: z.object({ title: z.string() }),
  upcast: { 1: (old: { text: string }) => ({ title: old.text }) },
  state: z.object({ line: z.number() }).default({ line: 0 }),
  upcastState: { 1: (old: { page: number }) => ({ line: old.page * 10 }) },
  run: async (each, ctx) => {
    if (each.input.title === 'checkpoint' && each.attempt === 1) {
      await ctx.checkpoint({ line: 7 })
      throw new Error('as told')
    }
    ran.push(`2 ${each.input.title} ${ctx.state.line}`)
  },
  retry: { attempts: 2, backoff: () => 0 },
})

test('an old process leaves jobs of a newer version to those who know it, uncounted, and says who is awaited', async () => {
  ran.length = 0
  const logger = new LogBook()
  await using old = appOn(database, [one], { logger })
  await using young = appOn(database, [two])
  const newer = await young.jobs.spawn(two, { title: 'new' })
  const older = await old.jobs.spawn(one, { text: 'old' })
  await old.start(lease)
  await older.result()
  await logger.wrote(/grown \(version 2\)/u)
  expect(await old.jobs.get(newer.id)).toMatchObject({
    status: 'queued',
    attempt: 0,
    parked: 'type',
    needs: 2,
    waiting: { for: 'process', type: 'grown', version: 2 },
  })
  const running = await young.start(lease)
  await newer.result()
  await running.stop()
  expect(ran).toEqual(['1 old', '2 new 0'])
  expect(await old.jobs.attempts(newer.id)).toHaveLength(1)
})

test('a job that a newer version has left a state of is not run by an older one', async () => {
  ran.length = 0
  const slow = defineJob('grown', {
    version: 2,
    input: z.object({ title: z.string() }),
    upcast: { 1: (old: { text: string }) => ({ title: old.text }) },
    state: z.object({ line: z.number() }).default({ line: 0 }),
    run: async (_each, ctx) => {
      await ctx.checkpoint({ line: 7 })
      await ctx.snooze(1)
    },
  })
  await using old = appOn(database, [one])
  await using young = appOn(database, [slow])
  // Spawned by the old version: its input is one that both know.
  const { id } = await old.jobs.spawn(one, { text: 'a' })
  const running = await young.start(lease)
  await until(database, `select count(*)::int from tidemark.job_states where version = 2`, 1)
  await running.stop()
  await old.start(lease)
  await until(database, `select parked from tidemark.jobs`, 'type')
  expect(ran).toEqual([])
  await using next = appOn(database, [two])
  await next.start(lease)
  await until(database, `select status from tidemark.jobs where id = $1`, 'completed', [id])
  expect(ran).toEqual(['2 a 7'])
})

test('SQL spawns a version, which is left to those who know it', async () => {
  await using old = appOn(database, [one], { logger: new LogBook() })
  await old.start(lease)
  await database.query(`select tidemark.spawn('grown', '{"title":"sql"}', version => 2)`)
  await until(database, `select parked from tidemark.jobs`, 'type')
  expect(await old.jobs.list()).toMatchObject([{ needs: 2, attempt: 0 }])
})

test('doctor and metrics say who is awaited, for jobs and for schedules that were made at run time', async () => {
  await using sdk = new Sdk()
  await using old = appOn(database, [one], { logger: new LogBook() })
  await using young = appOn(database, [two])
  const { id } = await young.jobs.spawn(two, { title: 'new' })
  await young.jobs.schedules.put('weekly', {
    cron: '0 8 * * 1',
    job: two,
    input: { title: 'scheduled' },
  })
  await database.query(`update tidemark.schedules set next_at = now() - interval '1 h'`)
  await old.start(lease)
  await until(database, `select parked from tidemark.jobs where id = $1`, 'type', [id])
  const awaited = { 'tidemark.job.name': 'grown', 'tidemark.job.version': '2' }
  expect(await sdk.valueOf('tidemark.jobs.awaiting_process', awaited)).toBe(1)
  expect(await sdk.valueOf('tidemark.schedules.awaiting_process', {})).toBe(1)
  const wrong = (await old.doctor.examine()).filter(({ check }) => check === 'jobs')
  expect(wrong.map(({ code, subject }) => [code, subject?.name])).toEqual([
    ['job-type-without-process', 'grown'],
    ['schedule-without-process', 'weekly'],
  ])
  await young.start(lease)
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
  expect(await sdk.valueOf('tidemark.jobs.awaiting_process', awaited)).toBe(0)
  expect(await sdk.valueOf('tidemark.schedules.awaiting_process', {})).toBe(0)
})

test('an old process deletes nothing of a newer version, and nothing of a type while one that is newer lives', async () => {
  const make = (version: number, retention?: { age: number }) =>
    defineJob('kept', {
      version,
      input: z.string(),
      upcast: version === 1 ? {} : { 1: (old: string) => old },
      ...(retention === undefined ? {} : { retention }),
      run: () => {},
    })
  const [former, later] = [make(1, { age: 0 }), make(2)]
  await using old = appOn(database, [former])
  await using young = appOn(database, [later])
  const running = await young.start(lease)
  const handles = [
    await old.jobs.spawn(former, 'of the old'),
    await young.jobs.spawn(later, 'of the new'),
  ]
  for (const handle of handles) await handle.result()
  const tidying = await old.start({ ...lease, maintenanceInterval: 100 })
  // What the old process may delete, and when it has done so at least twice.
  const bait = async (): Promise<void> => {
    await database.query(
      `insert into tidemark.locks values ('bait', 1, '', now() - interval '30 days')`,
    )
    await until(database, `select count(*)::int from tidemark.locks`, 0)
  }
  await bait()
  await bait()
  expect(await old.jobs.list({ name: 'kept' })).toHaveLength(2)
  await running.stop()
  await until(database, `select count(*)::int from tidemark.jobs`, 1)
  await bait()
  await bait()
  expect(await old.jobs.list()).toMatchObject([{ input: 'of the new' }])
  await tidying.stop()
})

test('an old process leaves the limit of a type alone while one that is newer lives', async () => {
  const make = (version: number, concurrency: number) =>
    defineJob('limited', {
      version,
      input: z.string(),
      upcast: version === 1 ? {} : { 1: (old: string) => old },
      limit: { concurrency },
      run: () => {},
    })
  await using young = appOn(database, [make(2, 7)])
  await using old = appOn(database, [make(1, 3)])
  const running = await young.start(lease)
  await old.start(lease)
  const limit = 'select concurrency from tidemark.job_limits'
  expect((await database.query(limit)).rows).toEqual([{ concurrency: 7 }])
  await running.stop()
  await using next = appOn(database, [make(1, 4)])
  await next.start(lease)
  expect((await database.query(limit)).rows).toEqual([{ concurrency: 4 }])
})

test('a schedule that is gone from the code can be removed when no live process has it, and not before', async () => {
  await using old = appOn(database, [schedule('0 0 1 1 *')])
  await using young = appOn(database, [job])
  const running = await old.start(lease)
  await untilCron('0 0 1 1 *')
  for (const app of [old, young]) {
    await expect(app.jobs.schedules.remove('deployed')).rejects.toMatchObject({
      code: 'TIDEMARK_UNKNOWN_SCHEDULE',
    })
  }
  await running.stop()
  await database.query(`update tidemark.schedules set next_at = now() - interval '1 h'`)
  expect((await young.doctor.examine()).map(({ code }) => code)).toContain(
    'schedule-without-process',
  )
  await young.jobs.schedules.remove('deployed')
  expect((await young.doctor.examine()).map(({ code }) => code)).not.toContain(
    'schedule-without-process',
  )
})

test('one process at a time looks for jobs that nobody runs, and a backlog is taken back in one go', async () => {
  const known = defineJob('known', { input: z.number(), run: () => {} })
  await database.query(
    `insert into tidemark.job_looks values ('types', now() + interval '10 minutes')`,
  )
  await database.query(
    `insert into tidemark.jobs (id, name, input, parked)
     select gen_random_uuid(), 'known', '1'::jsonb, 'type' from generate_series(1, 2500)
     union all select gen_random_uuid(), 'unknown', '1', null from generate_series(1, 1500)`,
  )
  await using app = appOn(database, [known])
  await app.start()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2_500)
  const parked = `select count(*)::int from tidemark.jobs where parked = 'type'`
  await until(database, parked, 0)
  await database.query(`update tidemark.job_looks set next_at = now()`)
  await until(database, parked, 1_500)
  expect(await app.jobs.counts()).toContainEqual({ name: 'unknown', status: 'queued', jobs: 1_500 })
})
