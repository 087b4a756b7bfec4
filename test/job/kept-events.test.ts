import pg from 'pg'
import { defineEvent, defineJob, sequenceZero, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until, untilStatus } from '../support/jobs.ts'
import { smallPartitions } from '../support/small-partitions.ts'
import { appOn } from '../support/test-app.ts'

// Events that unfinished jobs ask for are kept by the outbox; one that is gone all the same is no time-out.

const database = useFreshDatabase()

const called = defineEvent('called', { payload: z.object({ n: z.number() }) })
const drafts = (count: number) => Array.from({ length: count }, () => noted({ note: 'n' }))

const waiting = defineJob('waiting', {
  input: z.object({ key: z.string().optional(), goOn: z.boolean() }),
  run: async ({ input: { key, goOn } }, ctx) => {
    const event = await ctx.waitForEvent('call', called, {
      timeout: '1d',
      ...(key === undefined ? {} : { key }),
    })
    if (goOn) await ctx.waitForSignal('then', 'go')
    return event?.payload.n ?? 'nothing'
  },
})

test('an event that a job was given is kept for as long as the job has not finished', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [waiting, called, recorder('all')])
  await app.start()
  const handle = await app.jobs.spawn(waiting, { goOn: true })
  await until(database, `select count(*)::int from tidemark.job_waits where kind = 'event'`, 1)
  await app.publish(called({ n: 7 }))
  await until(database, `select count(*)::int from tidemark.job_waits where kind = 'signal'`, 1)
  const last = (await app.publish(drafts(250))).at(-1)?.sequence ?? null
  await app.waitFor('all', last)

  const plan = await app.outbox.planPrune()
  expect(plan.at(0)).toMatchObject({ reason: 'jobs', partition: { name: 'events_0' } })
  expect(plan.at(0)?.because).toContain(handle.id)
  expect((await app.outbox.prune()).partitions).toEqual([])
  await app.jobs.signal(handle.id, 'go')
  expect(await handle.result()).toBe(7)
  expect((await app.outbox.prune()).partitions).toHaveLength(2)
})

test('an event that a paused job waits for, and has not looked at, is kept; others are not', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [waiting, called, recorder('all')])
  await app.start()
  const handle = await app.jobs.spawn(waiting, { key: 'mine', goOn: false })
  await until(database, `select count(*)::int from tidemark.job_waits`, 1)
  await app.jobs.pause(handle.id)
  // Those of another key, and what it has looked past, hold nothing back.
  await app.publish(called({ n: 0 }), { key: 'another' })
  await app.publish(drafts(150))
  await app.publish(called({ n: 8 }), { key: 'mine' })
  const last = (await app.publish(drafts(150))).at(-1)?.sequence ?? null
  await app.waitFor('all', last)
  const { partitions, stopped } = await app.outbox.prune()
  expect(partitions.map(({ partition }) => partition.name)).toEqual(['events_0'])
  expect(stopped).toMatchObject({ reason: 'jobs', partition: { name: 'events_100' } })
  await app.jobs.resume(handle.id)
  expect(await handle.result()).toBe(8)
})

test('an event that is gone is an error, and no time-out', async () => {
  await smallPartitions(database)
  const since = defineJob('since', {
    input: z.object({}),
    run: async (_, ctx) => {
      const event = await ctx.waitForEvent('call', called, {
        after: sequenceZero,
        timeout: '1d',
      })
      return event?.payload.n ?? 'nothing'
    },
  })
  await using app = appOn(database, [waiting, since, called, recorder('all')])
  await app.start()
  const handle = await app.jobs.spawn(waiting, { goOn: true })
  await until(database, `select count(*)::int from tidemark.job_waits where kind = 'event'`, 1)
  await app.publish(called({ n: 7 }))
  await until(database, `select count(*)::int from tidemark.job_waits where kind = 'signal'`, 1)
  const last = (await app.publish(drafts(120))).at(-1)?.sequence ?? null
  await app.waitFor('all', last)
  // Finished jobs hold nothing back. Somebody runs it again.
  await app.jobs.cancel(handle.id)
  expect((await app.outbox.prune()).partitions).toHaveLength(1)
  await app.jobs.retry(handle.id)
  await untilStatus(database, handle.id, 'failed')
  const code = 'TIDEMARK_EVENTS_PRUNED'
  expect((await app.jobs.get(handle.id)).error).toMatchObject({ code })
  const late = await app.jobs.spawn(since, {})
  await untilStatus(database, late.id, 'failed')
  expect((await app.jobs.get(late.id)).error).toMatchObject({ code })
})

test('whoever prunes and whoever begins to wait see each other', async () => {
  await smallPartitions(database)
  const late = defineJob('late', {
    input: z.object({ after: z.string() }),
    run: async ({ input }, ctx) => {
      const after = BigInt(input.after) as EventSequence
      return (await ctx.waitForEvent('call', called, { after, timeout: '1d' }))?.payload.n
    },
  })
  await using app = appOn(database, [late, called, recorder('all')])
  await app.start()
  const call = await app.publish(called({ n: 9 }))
  const last = (await app.publish(drafts(120))).at(-1)?.sequence ?? null
  await app.waitFor('all', last)
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  // Somebody who prunes, between its look at the waits and its commit.
  await holder.query('begin')
  await holder.query(
    `select pg_advisory_xact_lock(hashtextextended('tidemark.prune.tidemark', 0) | (1::bigint << 63))`,
  )
  const after = String(call.sequence - 1n)
  const handle = await app.jobs.spawn(late, { after })
  await until(
    database,
    `select count(*)::int from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like '%pruned_after%'`,
    1,
  )
  await holder.query(
    `insert into tidemark.pruned_partitions (lower_bound, upper_bound, events, types) values (0, 100, 99, '{called}')`,
  )
  await holder.query('alter table tidemark.events detach partition tidemark.events_0')
  await holder.query('commit')
  await holder.end()
  await untilStatus(database, handle.id, 'failed')
  expect((await app.jobs.get(handle.id)).error).toMatchObject({ code: 'TIDEMARK_EVENTS_PRUNED' })
})

test('an event that was published under a former name ends the wait', async () => {
  const before = defineEvent('rang', { payload: z.object({ n: z.number() }) })
  const now = defineEvent('called.by', {
    payload: z.object({ n: z.number() }),
    aliases: ['rang'],
  })
  const job = defineJob('renamed', {
    input: z.object({ first: z.boolean() }),
    run: async (_, ctx) => (await ctx.waitForEvent('call', now, { timeout: '1d' }))?.payload.n,
  })
  await using old = appOn(database, [before])
  await using app = appOn(database, [job, now])
  await app.start()
  const handle = await app.jobs.spawn(job, { first: true })
  await until(database, `select count(*)::int from tidemark.job_waits`, 2)
  await old.publish(before({ n: 3 }))
  expect(await handle.result()).toBe(3)
})

test('a job that waits for a listener that is gone learns of it', async () => {
  const job = defineJob('follower', {
    input: z.object({ to: z.string() }),
    retry: { attempts: 1 },
    run: async ({ input }, ctx) => {
      await ctx.waitFor('all', BigInt(input.to) as EventSequence)
    },
  })
  await using app = appOn(database, [job, recorder('all')])
  await app.start()
  const handle = await app.jobs.spawn(job, { to: '1000000' })
  await until(database, `select count(*)::int from tidemark.job_waits`, 1)
  await database.query(`update tidemark.listeners set name = 'other' where name = 'all'`)
  await untilStatus(database, handle.id, 'failed')
  expect((await app.jobs.get(handle.id)).error).toMatchObject({ code: 'TIDEMARK_UNKNOWN_LISTENER' })
  await database.query(`update tidemark.listeners set name = 'all' where name = 'other'`)
})
