import { defineEvent, defineJob, defineListener, jobCompleted, jobFailed } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const quiet = { handleSignals: false }

async function transitions(job: string): Promise<string[]> {
  const { rows } = await database.query<{ type: string }>(
    `select type from tidemark.events where key = $1 order by sequence`,
    [job],
  )
  return rows.map(({ type }) => type.replace('job.', ''))
}

test('every transition of a job is an event, whoever makes it', async () => {
  const latch = new Latch()
  const busy = defineJob('busy', {
    input: z.object({ fails: z.number(), waits: z.boolean() }),
    lifecycle: true,
    retry: { attempts: 2, backoff: () => 1 },
    run: async (job, ctx) => {
      if (job.input.waits) {
        await ctx.sleep('nap', '1s')
        const asked = new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
        void latch.pass()
        await asked
        await ctx.checkInterrupt()
      }
      if (job.attempt <= job.input.fails) throw new Error('as told')
    },
  })
  await using app = appOn(database, [busy])
  await app.start(quiet)
  const retried = await app.jobs.spawn(busy, { fails: 1, waits: false })
  await retried.result()
  const path = ['spawned', 'started', 'retried', 'started', 'completed']
  expect(await transitions(retried.id)).toEqual(path)

  const failed = await app.jobs.spawn(busy, { fails: 2, waits: false }, { delay: '1h' })
  await app.jobs.pause(failed.id)
  await app.jobs.resume(failed.id)
  await app.jobs.retry(failed.id)
  await untilStatus(database, failed.id, 'failed')
  expect(await transitions(failed.id)).toEqual([
    'spawned',
    'paused',
    'resumed',
    'started',
    'retried',
    'started',
    'failed',
  ])

  const cancelled = await app.jobs.spawn(busy, { fails: 0, waits: true })
  await latch.reached
  await app.jobs.cancel(cancelled.id)
  await untilStatus(database, cancelled.id, 'cancelled')
  expect(await transitions(cancelled.id)).toEqual([
    'spawned',
    'started',
    'suspended',
    'started',
    'cancelled',
  ])
})

test('a job that is taken from a dead process says so', async () => {
  const rescued = defineJob('rescued', {
    input: z.number(),
    lifecycle: ['rescued', 'completed'],
    run: () => {},
  })
  await using app = appOn(database, [rescued])
  const handle = await app.jobs.spawn(rescued, 1)
  await database.query(
    `select * from tidemark.claim_jobs(gen_random_uuid(), 'default', '{rescued}', 1)`,
  )
  await app.start({ ...quiet, leaseDuration: 1_000 })
  await handle.result()
  expect(await transitions(handle.id)).toEqual(['rescued', 'completed'])
})

test('the event commits with the transition: a completion that is rolled back or fenced off publishes nothing', async () => {
  let refuse = true
  const posting = defineJob('posting', {
    input: z.number(),
    lifecycle: ['completed'],
    retry: { attempts: 2, backoff: () => 1 },
    run: (_, ctx) =>
      ctx.transaction(async (tx) => {
        tx.complete()
        await tx.tx.query('select 1')
        if (refuse) {
          refuse = false
          throw new Error('rolled back')
        }
      }),
  })
  await using app = appOn(database, [posting])
  await app.start(quiet)
  const handle = await app.jobs.spawn(posting, 1)
  await handle.result()
  expect(await transitions(handle.id)).toEqual(['completed'])
  // A zombie's completion writes nothing, so it publishes nothing.
  await database.query(
    `update tidemark.jobs set status = 'completed' where id = $1 and token = 0 and status = 'running'`,
    [handle.id],
  )
  expect(await transitions(handle.id)).toEqual(['completed'])
})

test('a listener subscribes to transitions; causes go from the event to the job, its steps and their events, in SQL', async () => {
  const ordered = defineEvent('ordered', { payload: z.object({ order: z.string() }) })
  const charged = defineEvent('charged', { payload: z.object({ order: z.string() }) })
  const charge = defineJob('charge', {
    input: z.object({ order: z.string() }),
    lifecycle: ['completed', 'failed'],
    retry: { attempts: 1 },
    run: async (job, ctx) => {
      if (job.input.order === 'bad') throw new RangeError('no such card')
      await ctx.transaction(async (tx) => tx.publish(charged(job.input)), { step: 'post' })
    },
  })
  const orders = defineListener('orders')
    .on(ordered)
    .spawn(charge, ({ payload }) => payload)
  const seen: unknown[] = []
  const outcomes = defineListener('outcomes')
    .on(jobCompleted, ({ payload }) => void seen.push([payload.name, payload.error]))
    .on(jobFailed, ({ payload }) => void seen.push([payload.name, payload.error?.message]))
  await using app = appOn(database, [orders, outcomes, charged])
  await app.start(quiet)
  const { id, sequence } = await app.publish(ordered({ order: 'good' }))
  await app.waitFor(orders, sequence)
  await until(database, `select count(*)::int from tidemark.events where type = 'job.completed'`, 1)
  await app.publish(ordered({ order: 'bad' }))
  await until(database, `select count(*)::int from tidemark.events where type = 'job.failed'`, 1)
  const last = await database.query<{ last: string }>(
    'select max(sequence)::text as last from tidemark.events',
  )
  await app.waitFor(outcomes, BigInt(last.rows[0]?.last ?? 0) as never)
  expect(seen).toEqual([
    ['charge', null],
    ['charge', 'no such card'],
  ])
  const { rows } = await database.query(
    `select j.name, s.step, e.type, e.correlation_id = c.id::text as same
     from tidemark.events c
     join tidemark.jobs j on j.causation_id = c.id::text
     join tidemark.events e on e.causation_id = j.id::text
     left join tidemark.job_steps s on s.job = j.id and s.step = e.metadata ->> 'tidemark.step'
     where c.id = $1 order by e.sequence`,
    [id],
  )
  expect(rows).toEqual([
    { name: 'charge', step: 'post', type: 'charged', same: true },
    { name: 'charge', step: null, type: 'job.completed', same: true },
  ])
})

test('a transition that does not exist is refused', () => {
  const define = () =>
    defineJob('j', { input: z.number(), lifecycle: ['complete'] as never, run: () => {} })
  expect(define).toThrow(/no transition is named "complete"/u)
})
