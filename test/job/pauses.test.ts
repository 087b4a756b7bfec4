import { defineJob, type App } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const options = { input: z.string(), run: () => {} }
const mail = defineJob('mail', { ...options, queue: 'mail' })
const letter = defineJob('letter', { ...options, aliases: ['epistle'] })
const limited = defineJob('limited', { ...options, limit: { concurrency: 5 } })
const other = defineJob('other', options)
const completed = (name: string): [string, number, string[]] => [
  `select count(*)::int from tidemark.jobs where status = 'completed' and name = $1`,
  1,
  [name],
]

async function paused(app: App): Promise<unknown[]> {
  return (await app.jobs.pauses.list()).map(({ kind, name, by, waiting }) => [
    kind,
    name,
    by,
    waiting,
  ])
}

test.each([
  ['without limits', [mail, letter, other]],
  ['with limits', [mail, letter, other, limited]],
] as const)(
  'a paused queue or type is not claimed by any process, until it is resumed: %s',
  async (_title, jobs) => {
    await using one: App = appOn(database, jobs)
    await using two: App = appOn(database, jobs)
    const { pauses } = one.jobs
    await pauses.pauseQueue('mail', { by: 'ada' })
    await pauses.pauseQueue('mail', { by: 'bob' })
    await pauses.pauseType('letter')
    for (const job of [mail, letter, other]) await one.jobs.spawn(job, 'a')
    // Under the name that it had before, too.
    await database.query(`select tidemark.spawn('epistle', '"a"')`)
    await one.start()
    await two.start()
    await until(database, ...completed('other'))
    expect(await paused(two)).toEqual([
      ['queue', 'mail', 'ada', 1],
      ['type', 'epistle', 'system', 1],
      ['type', 'letter', 'system', 1],
    ])
    // Another one that is spawned now is run, and those that wait are not.
    await one.jobs.spawn(other, 'b')
    await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
    expect(await one.jobs.list({ status: 'queued' })).toHaveLength(3)
    expect(await two.jobs.pauses.resumeQueue('mail')).toBe(true)
    await until(database, ...completed('mail'))
    expect(await pauses.resumeType('epistle')).toBe(true)
    await until(database, ...completed('letter'))
    await until(database, ...completed('epistle'))
    expect(await pauses.resumeType('letter')).toBe(false)
    expect(await paused(one)).toEqual([])
  },
)

test('a pause outlives the processes', async () => {
  {
    await using app = appOn(database, [other])
    await app.jobs.pauses.pauseType('other')
  }
  await using app = appOn(database, [other, letter])
  await app.jobs.spawn(other, 'a')
  await app.jobs.spawn(letter, 'a')
  await app.start()
  await until(database, ...completed('letter'))
  expect(await app.jobs.list({ status: 'queued' })).toMatchObject([{ name: 'other' }])
})

test('what cannot name a queue or a type is refused', async () => {
  await using app = appOn(database, [other])
  const { pauses } = app.jobs
  for (const bad of ['', '\0', 'q'.repeat(201)]) {
    await expect(pauses.pauseQueue(bad)).rejects.toThrow(/TIDEMARK_INVALID_OPTION/u)
    await expect(pauses.resumeType(bad)).rejects.toThrow(/TIDEMARK_INVALID_OPTION/u)
    await expect(
      pauses.pauseType('other', { by: bad.slice(0, 1) === 'q' ? '' : bad }),
    ).rejects.toThrow(/TIDEMARK_INVALID_OPTION/u)
  }
})
