import { defineEvent, defineJob, defineListener } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const quick = { handleSignals: false, leaseDuration: 2_000, acquireInterval: 50 }

const opened = defineEvent('opened', { payload: z.object({ n: z.number(), vip: z.boolean() }) })
const welcome = defineJob('welcome', { input: z.object({ n: z.number() }), run: () => {} })
const gift = defineJob('gift', { input: z.object({ n: z.number() }), run: () => {} })

async function spawned(): Promise<{ name: string; n: number; sequence: number }[]> {
  const { rows } = await database.query<{ name: string; n: number; sequence: number }>(
    `select j.name, (j.input ->> 'n')::int as n, e.sequence::int as sequence
     from tidemark.jobs j join tidemark.events e on e.id::text = j.causation_id order by e.sequence, j.name`,
  )
  return rows
}

test('a subscription spawns a job for each event that it accepts, with the options that it makes of it', async () => {
  const listener = defineListener('welcome')
    .on(opened)
    .spawn(welcome, ({ payload }) => ({ n: payload.n }))
    .on(opened)
    .spawn(gift, ({ payload }) => ({ n: payload.n }), {
      when: ({ payload }) => payload.vip,
      options: ({ payload }) => ({ priority: payload.n, triggeredBy: 'gifts' }),
    })
  await using app = appOn(database, [listener])
  await app.start({ ...quick, jobs: false })
  const { sequence } = await app.transaction(async (tx) => {
    tx.publish([opened({ n: 1, vip: false }), opened({ n: 2, vip: true })])
  })
  await app.waitFor(listener, sequence)
  expect(await spawned()).toEqual([
    { name: 'welcome', n: 1, sequence: 1 },
    { name: 'gift', n: 2, sequence: 2 },
    { name: 'welcome', n: 2, sequence: 2 },
  ])
  const [job] = await app.jobs.list({ name: 'gift' })
  expect(job).toMatchObject({ priority: 2, triggeredBy: 'gifts' })
  const [other] = await app.jobs.list({ name: 'welcome' })
  expect(other).toMatchObject({ triggeredBy: 'listener:welcome' })
})

test('the jobs of subscriptions belong to the application without being listed', async () => {
  const listener = defineListener('welcome')
    .on(opened)
    .spawn(welcome, ({ payload }) => ({ n: payload.n }))
  await using app = appOn(database, [listener])
  const handle = await app.jobs.spawn('welcome', { n: 1 })
  await app.start(quick)
  expect(await handle.result()).toBeUndefined()
})

test('each event spawns its job once: events that fail first, a reset, more and fewer partitions, two processes', async () => {
  const failures = new Map<number, number>()
  const listener = (partitions: number) =>
    defineListener('welcome', {
      partitions,
      batchSize: 7,
      retry: { attempts: 5, backoff: () => 1 },
    })
      .on(opened)
      .spawn(welcome, ({ payload: { n } }) => {
        const failed = failures.get(n) ?? 0
        failures.set(n, failed + 1)
        // Every fifth fails once, after others of its batch have spawned theirs.
        if (n % 5 === 0 && failed === 0) throw new Error(`as told: ${n}`)
        return { n }
      })
  const publish = async (app: ReturnType<typeof appOn>, from: number) => {
    const drafts = Array.from({ length: 50 }, (_, n) => n + from)
    const all = await Promise.all(
      drafts.map((n) => app.publish(opened({ n, vip: false }), { key: `k${n % 6}` })),
    )
    return (
      all
        .map(({ sequence }) => sequence)
        .toSorted((a, b) => Number(a - b))
        .at(-1) ?? null
    )
  }
  const options = { ...quick, jobs: false } as const
  await using one = appOn(database, [listener(1)])
  await one.start(options)
  await one.waitFor('welcome', await publish(one, 0), { timeout: 30_000 })
  {
    await using two = appOn(database, [listener(4)])
    await two.start(options)
    const last = await publish(two, 50)
    await two.waitFor('welcome', last, { timeout: 30_000 })
    await two.listeners.reset('welcome')
    await two.waitFor('welcome', last, { timeout: 30_000 })
  }
  await one.waitFor('welcome', await publish(one, 100), { timeout: 30_000 })
  const jobs = await spawned()
  expect(jobs.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: 150 }, (_, n) => n),
  )
  const { rows } = await database.query(
    'select count(distinct causation_id)::int as causes from tidemark.jobs',
  )
  expect(rows[0]).toEqual({ causes: 150 })
})

test('a subscription without a map, and one to an event that has a handler, are refused', () => {
  const listener = defineListener('welcome').on(opened, () => {})
  expect(() => listener.on(opened).spawn(welcome, () => ({ n: 1 }))).toThrow(
    /handles opened already/u,
  )
  expect(() =>
    defineListener('welcome')
      .on(opened)
      .spawn(welcome, undefined as never),
  ).toThrow(/needs a job and a function/u)
  expect(() =>
    defineListener('welcome')
      .on(opened)
      .spawn(welcome, () => ({ n: 1 }), { wen: () => true } as never),
  ).toThrow(/no option "wen"/u)
  const map = ({ payload }: { payload: { n: number } }) => ({ m: payload.n })
  // @ts-expect-error the input is not the job's
  defineListener('typed').on(opened).spawn(welcome, map)
})

test.for(['when', 'input', 'options'] as const)(
  'a subscription whose function of its %s answers a promise fails the event, and ends nothing else',
  async (what) => {
    const wrong = (() => Promise.reject(new Error('asynchronous'))) as never
    const told = defineEvent('told_late', { payload: z.object({}) })
    const job = defineJob('late', { input: z.object({}), run: () => {} })
    const listener = defineListener('late_listener')
      .on(told)
      .spawn(job, what === 'input' ? wrong : () => ({}), what === 'input' ? {} : { [what]: wrong })
    await using app = appOn(database, [told, listener])
    await app.start()
    await app.publish(told({}))
    await expect
      .poll(async () => (await app.listeners.get('late_listener')).partitions[0]?.lastError, {
        timeout: 30_000,
      })
      .toMatchObject({ code: 'TIDEMARK_CALLBACK_FAILED' })
    expect(await app.jobs.list({ name: 'late' })).toEqual([])
  },
)
