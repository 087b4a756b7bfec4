import { defineJob, defineSchedule, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

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
  const { rows } = await database.query<{ input: string }>('select distinct input from tidemark.jobs')
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
