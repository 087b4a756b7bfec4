import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
interface Buffers {
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
}

const finished = `select count(*)::int from tidemark.jobs where status = 'completed'`

test('jobs with one concurrency key never run side by side, also when they are claimed in batches by two processes', async () => {
  const inside = new Map<string, number>()
  let most = 0
  const order = new Map<string, number[]>()
  const serial = defineJob('serial', {
    input: z.object({ key: z.string(), n: z.number() }),
    concurrencyKey: ({ key }) => key,
    run: async ({ input: { key, n } }) => {
      const now = (inside.get(key) ?? 0) + 1
      inside.set(key, now)
      most = Math.max(most, now)
      order.set(key, [...(order.get(key) ?? []), n])
      await new Promise((resolve) => setImmediate(resolve))
      inside.set(key, now - 1)
    },
  })
  await using one = appOn(database, [serial])
  await using two = appOn(database, [serial])
  await one.transaction(async ({ spawn }) => {
    for (let n = 0; n < 60; n++) await spawn(serial, { key: `k${n % 3}`, n })
  })
  await one.start()
  await two.start()
  await until(database, finished, 60)
  expect(most).toBe(1)
  for (const [key, numbers] of order)
    expect([key, numbers]).toEqual([key, numbers.toSorted((a, b) => a - b)])
})

test('as many jobs with a key run side by side as the definition allows', async () => {
  const latch = new Latch()
  let inside = 0
  let most = 0
  const paired = defineJob('paired', {
    input: z.number(),
    concurrencyKey: () => 'k',
    concurrency: 2,
    run: async () => {
      inside += 1
      most = Math.max(most, inside)
      await latch.pass()
      inside -= 1
    },
  })
  await using app = appOn(database, [paired])
  for (let n = 0; n < 6; n++) await app.jobs.spawn(paired, n)
  await app.start()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'running'`, 2)
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'key'`, 4)
  latch.open()
  await until(database, finished, 6)
  expect(most).toBe(2)
})

test('a key is free again however its job ends: failed, cancelled, paused, put off or rescued', async () => {
  const latch = new Latch()
  const keyed = defineJob('keyed', {
    input: z.string(),
    concurrencyKey: () => 'k',
    retry: { attempts: 2, backoff: () => 3_600_000 },
    run: async (job, ctx) => {
      if (job.input === 'fails') throw new Error('as told')
      if (job.input === 'snoozes') await ctx.snooze('1h')
      if (job.input === 'waits') {
        await latch.pass()
        await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
        await ctx.checkInterrupt()
      }
    },
  })
  await using app = appOn(database, [keyed])
  const waits = await app.jobs.spawn(keyed, 'waits')
  await app.start()
  await latch.reached
  const cancelled = await app.jobs.spawn(keyed, 'cancelled')
  const paused = await app.jobs.spawn(keyed, 'paused')
  for (const input of ['fails', 'snoozes', 'runs']) await app.jobs.spawn(keyed, input)
  await app.jobs.cancel(cancelled.id)
  await app.jobs.pause(paused.id)
  await app.jobs.cancel(waits.id)
  latch.open()
  const [last] = await app.jobs.list({ name: 'keyed', limit: 1 })
  await app.jobs.handle(last?.id ?? '').result()
  const jobs = await app.jobs.list()
  expect(Object.fromEntries(jobs.map(({ input, status }) => [input, status]))).toEqual({
    waits: 'cancelled',
    cancelled: 'cancelled',
    paused: 'paused',
    fails: 'scheduled',
    snoozes: 'scheduled',
    runs: 'completed',
  })
})

test('claiming costs the same in front of 20,000 jobs that wait for one key', async () => {
  const keyed = defineJob('keyed', { input: z.number(), concurrencyKey: () => 'k', run: () => {} })
  await using app = appOn(database, [keyed])
  await app.transaction(async ({ spawn }) => {
    for (let n = 0; n < 20_000; n++) await spawn(keyed, n)
  })
  // Each job is looked at once, 500 at a time: then all but one are parked.
  const claim = `select * from tidemark.claim_jobs(gen_random_uuid(), 'default', '{other}', 10)`
  for (let n = 0; n <= 40; n++) await database.query(claim)
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'key'`, 19_999)
  await database.query('vacuum tidemark.jobs')
  const client = await database.connect()
  await client.query(claim)
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Buffers }] }>(
    `explain (analyze, buffers, format json) ${claim}`,
  )
  await client.end()
  const plan = rows[0]?.['QUERY PLAN'][0].Plan
  // Pages touched, which no other load of the machine changes.
  expect((plan?.['Shared Hit Blocks'] ?? 0) + (plan?.['Shared Read Blocks'] ?? 0)).toBeLessThan(60)
})

test('the turn of a job follows its key and its type, whoever changes them', async () => {
  const keyed = defineJob('keyed', {
    input: z.null(),
    concurrencyKey: () => 'a',
    run: () => {},
  })
  await using app = appOn(database, [keyed])
  const { id } = await app.jobs.spawn(keyed, null, { delay: '1h' })
  const changes = [
    [`concurrency_key = 'b'`, 'keyed b'],
    [`name = 'other'`, 'other b'],
    [`turn_key = 'of nobody'`, 'other b'],
    [`concurrency_key = null, name = 'keyed'`, null],
    [`concurrency_key = 'c'`, 'keyed c'],
  ] as const
  for (const [change, turn] of changes) {
    await database.query(`update tidemark.jobs set ${change} where id = $1`, [id])
    const { rows } = await database.query('select turn_key from tidemark.jobs where id = $1', [id])
    expect(rows).toEqual([{ turn_key: turn }])
  }
})
