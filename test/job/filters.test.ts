import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineJob, jobStatuses, type App, type BulkVerb, type JobFilter } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { appOn } from '../support/test-app.ts'

const database = useTestDatabase()
const order = defineJob('order', {
  input: z.object({ customer: z.unknown(), note: z.string().optional() }),
  run: () => {},
})
const other = defineJob('other', {
  queue: 'side',
  input: z.object({ customer: z.unknown() }),
  run: () => {},
})
let app: App

beforeEach(async () => {
  app = appOn(database, [{ order, other }])
  await database.query('truncate tidemark.jobs cascade')
  await database.query('select tidemark.recount_jobs()')
})

afterEach(async () => {
  await app.close()
})

const customers = [{ id: 'c-1' }, { id: 'c-2' }, { id: 12 }, { id: null }, 'c-1', ['c-1']]

/** Jobs in each status, with each customer, in two queues, some of which have failed before. */
async function spawnAll(): Promise<void> {
  await Promise.all(
    customers.flatMap((customer, index) =>
      jobStatuses.flatMap(() => [
        app.jobs.spawn(order, { customer }, { concurrencyKey: `key-${index % 2}` }),
        app.jobs.spawn(other, { customer }),
      ]),
    ),
  )
  await database.query(
    `
    with numbered as (select id, row_number() over (partition by name order by id) as n from tidemark.jobs)
    update tidemark.jobs j set status = ($1::text[])[1 + n.n % 7], parked = null, run_at = clock_timestamp(), waiting = null,
      process = case when n.n % 7 = 2 then '00000000-0000-0000-0000-000000000001'::uuid end,
      error = case when n.n % 3 = 0 then '{"name": "Error", "message": "it failed"}'::jsonb end
    from numbered n where n.id = j.id`,
    [jobStatuses],
  )
  await database.query('select tidemark.recount_jobs()')
}

const filters: readonly JobFilter[] = [
  { input: { path: ['customer', 'id'] } },
  { input: { path: ['customer', 'id'], equals: 'c-1' } },
  { input: { path: ['customer', 'id'], equals: '12' } },
  { input: { path: ['customer', '0'], equals: 'c-1' } },
  { input: { path: ['note'] } },
  { input: { path: ["o'dd", '"', '{}'] } },
  { retrying: true },
  { retrying: false, name: 'order' },
  { retrying: true, queue: 'side' },
  { queue: 'side', input: { path: ['customer'], equals: 'c-1' } },
  { concurrencyKey: 'key-1', status: ['failed', 'queued'] },
  { name: 'other', status: 'completed', input: { path: ['customer', 'id'] } },
]

test('jobs are found by what their input holds and by whether they are tried again, in a list and page by page', async () => {
  await spawnAll()
  const all = await app.jobs.list({ limit: 1_000 })
  const { rows } = await database.query('select id, input from tidemark.jobs')
  const inputs = new Map(rows.map((row) => [row['id'], row['input']]))
  for (const filter of filters) {
    const wanted = all.filter((job) => {
      const at = filter.input?.path.reduce<unknown>(
        (value, name) => (typeof value === 'object' ? (value as never)?.[name] : undefined),
        inputs.get(job.id),
      )
      const text = typeof at === 'string' || at === undefined ? at : JSON.stringify(at)
      const statuses = filter.status === undefined ? jobStatuses : [filter.status].flat()
      return (
        (filter.input === undefined || at !== undefined) &&
        (filter.input?.equals === undefined || text === filter.input.equals) &&
        (filter.retrying === undefined || job.retrying === filter.retrying) &&
        (filter.name === undefined || job.name === filter.name) &&
        (filter.queue === undefined || job.queue === filter.queue) &&
        (filter.concurrencyKey === undefined || job.concurrencyKey === filter.concurrencyKey) &&
        statuses.includes(job.status)
      )
    })
    const ids = wanted.map(({ id }) => id)
    expect((await app.jobs.list({ ...filter, limit: 1_000 })).map(({ id }) => id)).toEqual(ids)
    const found: string[] = []
    let after: string | undefined
    do {
      const page = await app.jobs.search({
        ...filter,
        limit: 3,
        examine: 5,
        ...(after === undefined ? {} : { after }),
      })
      found.push(...page.jobs.map(({ id }) => id))
      after = page.next ?? undefined
    } while (after !== undefined)
    expect(found, JSON.stringify(filter)).toEqual(ids)
  }
  const retrying = all.filter((job) => job.retrying)
  expect(new Set(retrying.map(({ status }) => status))).toEqual(
    new Set(['scheduled', 'queued', 'running']),
  )
  expect(await app.jobs.retryingCount()).toBe(retrying.length)
})

test('what a preview says is done to exactly so many, also where it has not looked at all of them', async () => {
  const verbs = ['cancel', 'retry', 'delete', 'pause', 'resume'] as const
  for (const [index, filter] of filters.entries()) {
    await expectPreview(verbs[index % 5] ?? 'cancel', filter)
    await expectPreview(verbs[(index + 1) % 5] ?? 'cancel', filter)
  }
})

async function expectPreview(verb: BulkVerb, filter: JobFilter): Promise<void> {
  await database.query('truncate tidemark.jobs cascade')
  await spawnAll()
  const all = await app.jobs.bulk.count(verb, filter)
  const whole = await app.jobs.bulk.preview(verb, filter)
  expect([verb, filter, whole]).toEqual([verb, filter, { jobs: all, complete: true }])
  const part = await app.jobs.bulk.preview(verb, filter, { examine: 10 })
  expect(part.complete ? part.jobs === all : part.jobs <= all).toBe(true)
  if (part.jobs === 0) return
  const { done, asked, refused } = await app.jobs.bulk[verb]({ ...filter, limit: part.jobs })
  expect(done + asked + refused).toBe(part.jobs)
}

test('a filter that is none is refused', async () => {
  const wrong = [
    { input: {} },
    { input: { path: 'customer.id' } },
    { input: { path: ['customer'], equals: 12 } },
    { input: { path: ['a\0b'] } },
    { input: { path: ['customer'], equal: 'c-1' } },
    { retrying: 'true' },
  ]
  for (const one of wrong) {
    const code = 'TIDEMARK_INVALID_OPTION'
    await expect(app.jobs.list(one as never), JSON.stringify(one)).rejects.toMatchObject({ code })
    await expect(app.jobs.search(one as never)).rejects.toMatchObject({ code })
    await expect(app.jobs.bulk.count('retry', one as never)).rejects.toMatchObject({ code })
  }
})
