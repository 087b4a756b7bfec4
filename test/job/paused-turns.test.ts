import { defineJob, type App, type JobDefinition } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const night = { queue: 'night' } as const
const parked = `select count(*)::int from tidemark.jobs where parked = 'pause'`

/** A type whose jobs have one key, whatever their queue is; `ran` has their inputs in the order in which they ran. */
function keyed(
  ran: string[],
  more: object = {},
  run: (input: string) => Promise<void> | void = () => {},
): JobDefinition<string> {
  let running = 0
  return defineJob('keyed', {
    input: z.string(),
    concurrencyKey: () => 'k',
    ...more,
    run: async ({ input }) => {
      running += 1
      expect(running).toBe(1)
      await run(input)
      ran.push(input)
      running -= 1
    },
  })
}

async function spawnNight(
  app: App,
  job: JobDefinition<string>,
  ...inputs: string[]
): Promise<void> {
  for (const input of inputs) await app.jobs.spawn(job, input, night)
}

/** Lets a process look through all that can be claimed, however long its last look took. */
async function lookNow(): Promise<void> {
  await database.query('update tidemark.job_looks set next_at = now()')
}

test('jobs of a paused queue take no turn of a key from those of other queues', async () => {
  const ran: string[] = []
  const job = keyed(ran)
  await using app = appOn(database, [job])
  await app.jobs.pauses.pauseQueue('night')
  await spawnNight(app, job, 'night 1', 'night 2', 'night 3')
  const day = await app.jobs.spawn(job, 'day')
  await app.start()
  await day.result()
  await until(database, parked, 3)
  await app.jobs.pauses.resumeQueue('night')
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 4)
  expect(ran).toEqual(['day', 'night 1', 'night 2', 'night 3'])
})

test.each([
  ['in the claim index', {}],
  ['behind a limit', { limit: { concurrency: 5 } }],
])(
  'a job that has its turn when its queue is paused gives it to another, and takes the next after the resume: %s',
  async (_where, more) => {
    const ran: string[] = []
    const latch = new Latch()
    const job = keyed(ran, more, (input) => (input === 'day 1' ? latch.pass() : undefined))
    await using idle = appOn(database, [job])
    await spawnNight(idle, job, 'night')
    await database.query('select tidemark.admit_jobs()')
    await idle.jobs.pauses.pauseQueue('night')
    expect(await idle.jobs.list({})).toMatchObject([{ status: 'queued', parked: 'pause' }])
    await using app = appOn(database, [job])
    await app.jobs.spawn(job, 'day 1')
    await app.start()
    await latch.reached
    await app.jobs.spawn(job, 'day 2')
    await app.jobs.pauses.resumeQueue('night')
    await until(database, `select count(*)::int from tidemark.jobs where parked = 'key'`, 2)
    latch.open()
    await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 3)
    expect(ran).toEqual(['day 1', 'night', 'day 2'])
  },
)

test('a job that is given back into a paused queue gives its turn away, too', async () => {
  const ran: string[] = []
  const latch = new Latch()
  const job = keyed(ran, {}, () => latch.pass())
  const first = appOn(database, [job])
  const given = await first.jobs.spawn(job, 'night', night)
  await first.start({ drainTimeout: 10 })
  await latch.reached
  await first.jobs.pauses.pauseQueue('night')
  await first.close()
  latch.open()
  await untilStatus(database, given.id, 'queued')
  ran.length = 0
  const other = keyed(ran)
  await using second = appOn(database, [other])
  await second.start()
  const day = await second.jobs.spawn(other, 'day')
  await lookNow()
  await day.result()
  await second.jobs.pauses.resumeQueue('night')
  await untilStatus(database, given.id, 'completed')
  expect(ran).toEqual(['day', 'night'])
})

test('a key behind which hundreds of paused jobs wait is free for others', async () => {
  const ran: string[] = []
  const job = keyed(ran)
  await using app = appOn(database, [job])
  await database.query(`insert into tidemark.jobs (id, name, queue, input, concurrency_key, parked)
    select gen_random_uuid(), 'keyed', 'night', '"night"', 'k', 'key' from generate_series(1, 350)`)
  await app.jobs.pauses.pauseQueue('night')
  const day = await app.jobs.spawn(job, 'day')
  await app.start()
  await day.result()
  await until(database, parked, 350)
  await app.jobs.pauses.resumeQueue('night')
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 351)
  expect(ran[0]).toBe('day')
})

test('claims do not walk along the jobs of a paused type, and a resume brings all of them back', async () => {
  const options = { input: z.string(), run: () => {} }
  const report = defineJob('report', { ...options, queue: 'reports' })
  const mail = defineJob('mail', options)
  await using app = appOn(database, [report, mail])
  await app.start()
  await app.jobs.pauses.pauseType('report')
  await database.query(`insert into tidemark.jobs (id, name, input)
    select gen_random_uuid(), 'report', '"a"' from generate_series(1, 3000)`)
  await app.jobs.spawn(mail, 'a')
  await lookNow()
  await until(database, parked, 3000)
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 1)
  expect(await app.jobs.pauses.list()).toMatchObject([{ name: 'report', waiting: 3000 }])
  expect(await app.jobs.openCounts()).toMatchObject({ parked: 3000 })
  await app.jobs.pauses.resumeType('report')
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 3001)
})

test('a type is paused under all of its names, whoever pauses it, and stays so when it is renamed', async () => {
  const options = { input: z.string(), run: () => {} }
  const before = defineJob('before', options)
  const after = defineJob('after', { ...options, aliases: ['before'] })
  const other = defineJob('other', options)
  await using old = appOn(database, [before])
  await old.jobs.pauses.pauseType('before', { by: 'ada' })
  await using app = appOn(database, [after, other])
  await app.start()
  await app.jobs.spawn(after, 'a')
  await (await app.jobs.spawn(other, 'a')).result()
  expect(await app.jobs.list({ status: 'queued' })).toMatchObject([{ name: 'after' }])
  expect(await old.jobs.pauses.list()).toMatchObject([
    { name: 'after', by: 'ada' },
    { name: 'before', by: 'ada' },
  ])
  expect(await old.jobs.pauses.resumeType('before')).toBe(true)
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
  await old.jobs.pauses.pauseType('before')
  expect(await app.jobs.pauses.list()).toHaveLength(2)
})
