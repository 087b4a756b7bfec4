import { setTimeout } from 'node:timers/promises'
import { defineEvent, defineJob, defineListener, type JobReport, type ValueCodec } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const retry = { attempts: 5, backoff: () => 1 }
const input = z.null()
const happened = defineEvent('happened', { payload: z.object({ n: z.number() }) })

test('a later attempt goes on from the checkpoint, past the finished steps, with the variables', async () => {
  const ran: string[] = []
  let first: number | undefined
  const opening = defineJob('opening', {
    input,
    retry,
    state: z.object({ page: z.number() }).default({ page: 0 }),
    run: async (job, ctx) => {
      const account = await ctx.step('account', () => {
        ran.push('account')
        return { number: 7n }
      })
      if (job.attempt === 1) {
        first = ctx.state.page
        await ctx.variables.set('since', new Date(5))
        await ctx.checkpoint({ page: 3 })
        throw new Error('half-way')
      }
      await ctx.step('letter', () => {
        ran.push('letter')
      })
      expect(ctx.steps.map(({ id }) => id)).toEqual(['account', 'letter'])
      return { account, page: ctx.state.page, since: ctx.variables.get('since') }
    },
  })
  await using app = appOn(database, [opening])
  await app.start()
  const handle = await app.jobs.spawn(opening, null)
  expect(await handle.result()).toEqual({ account: { number: 7n }, page: 3, since: new Date(5) })
  expect(ran).toEqual(['account', 'letter'])
  expect(first).toBe(0)
  expect((await app.jobs.steps(handle.id)).map(({ id, output }) => [id, output])).toEqual([
    ['account', { number: 7n }],
    ['letter', undefined],
  ])
})

test('rows, events, jobs, step and completion commit together, or none does', async () => {
  const next = defineJob('next', { input: z.number(), run: () => {} })
  let fail = true
  const posting = defineJob('posting', {
    input,
    retry,
    output: z.string(),
    run: async (_, ctx) => {
      await ctx.transaction(
        async (tx) => {
          await tx.tx.query(`insert into effects (listener, sequence) values ('posting', 1)`)
          tx.publish(happened({ n: 1 }))
          await tx.spawn(next, 1)
          tx.complete('posted')
          if (fail) {
            fail = false
            throw new Error('first time')
          }
        },
        { step: 'post' },
      )
      return 'not this'
    },
  })
  await using app = appOn(database, [posting, next, happened])
  await app.start({ jobs: { concurrency: 1 } })
  const handle = await app.jobs.spawn(posting, null)
  expect(await handle.result()).toBe('posted')
  expect((await database.query('select from effects')).rowCount).toBe(1)
  const events = await database.query('select causation_id from tidemark.events')
  expect(events.rows).toEqual([{ causation_id: handle.id }])
  expect(await app.jobs.list({ name: 'next' })).toMatchObject([
    { parent: handle.id, causationId: handle.id, triggeredBy: 'job:posting' },
  ])
  expect((await app.jobs.attempts(handle.id)).map(({ outcome }) => outcome)).toEqual([
    'retried',
    'completed',
  ])
})

test('a transaction with a step is done once, whatever happens after it', async () => {
  const charging = defineJob('charging', {
    input,
    retry,
    run: async (job, ctx) => {
      const receipt = await ctx.transaction(
        async ({ tx }) => {
          await tx.query(`insert into effects (listener, sequence) values ('charge', 1)`)
          return `receipt ${job.attempt}`
        },
        { step: 'charge' },
      )
      if (job.attempt < 3) throw new Error('later')
      return receipt
    },
  })
  await using app = appOn(database, [charging])
  await app.start()
  expect(await (await app.jobs.spawn(charging, null)).result()).toBe('receipt 1')
  expect((await database.query('select from effects')).rowCount).toBe(1)
})

test('jobs that work in a transaction share commits, and one that fails is rolled back alone', async () => {
  const effect = defineJob('effect', {
    input: z.object({ n: z.number() }),
    retry: { attempts: 1 },
    transact: async ({ input: { n } }, { tx, publish }) => {
      await tx.query(`insert into effects (listener, sequence) values ('effect', $1)`, [n])
      publish(happened({ n }))
      if (n % 10 === 3) throw new Error(`no ${n}`)
      if (n % 10 === 7) await tx.query('select 1 / 0')
      return n
    },
  })
  await using app = appOn(database, [effect, happened])
  await app.transaction(async ({ spawn }) => {
    for (let n = 0; n < 300; n++) await spawn(effect, { n })
  })
  await app.start({ jobs: { concurrency: 2 } })
  await until(
    database,
    `select count(*)::int from tidemark.jobs where status in ('completed', 'failed')`,
    300,
  )
  const good = Array.from({ length: 300 }, (_, n) => n).filter((n) => n % 10 !== 3 && n % 10 !== 7)
  const effects = await database.query<{ n: number }>(
    'select sequence::int as n from effects order by 1',
  )
  expect(effects.rows.map(({ n }) => n)).toEqual(good)
  const events = await database.query<{ n: number }>(
    `select (payload ->> 'n')::int as n from tidemark.events order by 1`,
  )
  expect(events.rows.map(({ n }) => n)).toEqual(good)
  expect((await app.jobs.list({ status: 'failed', limit: 1000 })).length).toBe(60)
  const commits = await database.query<{ n: number }>(
    'select count(distinct xmin::text)::int as n from tidemark.events',
  )
  expect(commits.rows[0]?.n).toBeLessThan(240)
})

test('a running job is paused where it looks, and goes on from its checkpoint', async () => {
  const latch = new Latch()
  const importing = defineJob('importing', {
    input: z.number(),
    state: z.object({ row: z.number() }).default({ row: 0 }),
    run: async (job, ctx) => {
      const first = ctx.state.row
      for (let row = first; row < job.input; row++) {
        if (row === 5 && first < 5) {
          await latch.pass()
          await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
        }
        await ctx.checkInterrupt()
        await ctx.checkpoint({ row: row + 1 })
      }
      return { from: first }
    },
  })
  await using app = appOn(database, [importing])
  await app.start()
  const handle = await app.jobs.spawn(importing, 8)
  latch.open()
  await latch.reached
  expect(await app.jobs.pause(handle.id)).toBe('running')
  await untilStatus(database, handle.id, 'paused')
  expect(await app.jobs.get(handle.id)).toMatchObject({ attempt: 0, requested: null })
  await app.jobs.resume(handle.id)
  expect(await handle.result()).toEqual({ from: 5 })
  expect((await app.jobs.attempts(handle.id)).map(({ outcome }) => outcome)).toEqual([
    'paused',
    'completed',
  ])
})

test('a running job is cancelled through its signal', async () => {
  const latch = new Latch()
  const waiting = defineJob('waiting', {
    input,
    run: async (_, ctx) => {
      await latch.pass()
      await new Promise((_resolve, reject) => {
        ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error))
      })
    },
  })
  await using app = appOn(database, [waiting])
  await app.start()
  const handle = await app.jobs.spawn(waiting, null)
  latch.open()
  await latch.reached
  await app.jobs.cancel(handle.id)
  await expect(handle.result()).rejects.toThrow(/was cancelled/u)
  await expect(app.jobs.cancel(handle.id)).rejects.toMatchObject({ code: 'TIDEMARK_JOB_STATUS' })
})

test('a sleep holds no slot, costs no attempt and is slept once', async () => {
  let starts = 0
  const sleepy = defineJob('sleepy', {
    input,
    run: async (job, ctx) => {
      starts += 1
      // Long enough to be seen on a busy machine.
      await ctx.sleep('nap', 3_000)
      return job.attempt
    },
  })
  await using app = appOn(database, [sleepy])
  await app.start({ jobs: { concurrency: 1 } })
  const handle = await app.jobs.spawn(sleepy, null)
  await untilStatus(database, handle.id, 'scheduled')
  expect((await app.jobs.get(handle.id)).waiting).toEqual({ for: 'sleep', id: 'nap' })
  expect(await handle.result()).toBe(1)
  expect(starts).toBe(2)
})

test('a snooze begins anew without losing an attempt', async () => {
  let starts = 0
  const snoozing = defineJob('snoozing', {
    input,
    retry: { attempts: 1 },
    run: async (job, ctx) => {
      starts += 1
      if (starts < 4) await ctx.snooze(1)
      return job.attempt
    },
  })
  await using app = appOn(database, [snoozing])
  await app.start()
  expect(await (await app.jobs.spawn(snoozing, null)).result()).toBe(1)
  expect(starts).toBe(4)
})

test('a job waits for an event without a slot, sees only what it asks for, and gives up in time', async () => {
  const waiting = defineJob('waiting', {
    input: z.number(),
    run: async (job, ctx) => {
      const event = await ctx.waitForEvent('answer', happened, {
        key: 'mine',
        where: ({ payload }) => payload.n === job.input,
        ...(job.input === 99 ? { timeout: 200 } : {}),
      })
      return event?.payload ?? 'nothing'
    },
  })
  await using app = appOn(database, [waiting, happened])
  await app.start({ jobs: { concurrency: 1 } })
  const handle = await app.jobs.spawn(waiting, 2)
  const late = await app.jobs.spawn(waiting, 99)
  await untilStatus(database, handle.id, 'scheduled')
  await app.publish(happened({ n: 1 }), { key: 'mine' })
  await app.publish(happened({ n: 2 }), { key: 'other' })
  expect(await late.result()).toBe('nothing')
  await app.publish(happened({ n: 2 }), { key: 'mine' })
  expect(await handle.result()).toEqual({ n: 2 })
})

test('a job waits for a listener to reach a sequence', async () => {
  const latch = new Latch()
  const slow = defineListener('slow').on(happened, () => latch.pass())
  const waiting = defineJob('waiting', {
    input: z.bigint(),
    run: (job, ctx) => ctx.waitFor('slow', job.input as never),
  })
  await using app = appOn(database, [waiting, slow, happened])
  await app.start()
  const { sequence } = await app.publish(happened({ n: 1 }))
  await latch.reached
  const handle = await app.jobs.spawn(waiting, sequence)
  await untilStatus(database, handle.id, 'scheduled')
  latch.open()
  expect(await handle.result()).toBe(true)
})

test('a parent waits for its child without a slot, and gets its output or its failure', async () => {
  const child = defineJob('child', {
    input: z.number(),
    output: z.bigint(),
    retry: { attempts: 1 },
    run: (job) => {
      if (job.input < 0) throw new Error('negative')
      return BigInt(job.input) * 2n
    },
  })
  const parent = defineJob('parent', {
    input,
    retry: { attempts: 1 },
    run: async (_, ctx) => {
      const good = await ctx.child('good', child, 21)
      const bad = await ctx.child('bad', child, -1).catch((error: unknown) => {
        if ((error as { code?: string }).code !== 'TIDEMARK_JOB_FAILED') throw error
        return 'failed'
      })
      return { good, bad }
    },
  })
  await using app = appOn(database, [child, parent])
  await app.start({ jobs: { concurrency: 1 } })
  const handle = await app.jobs.spawn(parent, null)
  expect(await handle.result()).toEqual({ good: 42n, bad: 'failed' })
  expect((await app.jobs.list({ parent: handle.id })).length).toBe(2)
})

test('the end of a job that its parent has not spawned wakes the parent all the same', async () => {
  const shared = defineJob('shared', { input, uniqueKey: () => 'one', run: () => 'shared' })
  const parent = defineJob('parent', { input, run: (_, ctx) => ctx.child('theirs', shared, null) })
  await using app = appOn(database, [shared, parent])
  const { id } = await app.jobs.spawn(shared, null, { delay: '1h' })
  await app.start()
  const handle = await app.jobs.spawn(parent, null)
  // The look for what the new wait may have missed is over.
  await until(
    database,
    `select count(*)::int from tidemark.job_waits w, tidemark.job_wait_cursor c
     where pg_visible_in_snapshot(w.born, c.seen)`,
    1,
  )
  await app.jobs.retry(id)
  expect(await handle.result()).toBe('shared')
})

test('progress and logs are seen while the job runs and afterwards', async () => {
  const latch = new Latch()
  const telling = defineJob('telling', {
    input,
    run: async (_, ctx) => {
      ctx.progress(0.25)
      ctx.log.info({ row: 1 }, 'a quarter')
      await latch.pass()
      ctx.progress({ done: 4, of: 4 })
    },
  })
  await using app = appOn(database, [telling])
  await app.start()
  const handle = await app.jobs.spawn(telling, null)
  const seen: JobReport[] = []
  for await (const report of handle.progress()) {
    seen.push(report)
    if (report.progress === 0.25) latch.open()
  }
  expect(seen.some(({ status, progress }) => status === 'running' && progress === 0.25)).toBe(true)
  expect(seen.at(-1)).toEqual({ status: 'completed', attempt: 1, progress: { done: 4, of: 4 } })
  expect(await app.jobs.logs(handle.id)).toMatchObject([
    { level: 'info', message: 'a quarter', fields: { row: 1 } },
  ])
})

test('a stored state that fails its schema fails the job and is not overwritten', async () => {
  const stateful = defineJob('stateful', {
    input,
    retry,
    state: z.object({ page: z.number() }).default({ page: 0 }),
    run: async (job, ctx) => {
      await ctx.checkpoint({ page: 1 })
      if (job.attempt === 1) await ctx.snooze(1)
    },
  })
  await using app = appOn(database, [stateful])
  const runner = await app.start()
  const handle = await app.jobs.spawn(stateful, null, { delay: '1h' })
  await runner.stop()
  await database.query(
    `insert into tidemark.job_states (job, state) values ($1, '{"page": "x"}')`,
    [handle.id],
  )
  await database.query('update tidemark.jobs set token = 1, run_at = now()')
  await app.start()
  await expect(handle.result()).rejects.toThrow(/TIDEMARK_INVALID_STATE/u)
  const { rows } = await database.query('select state from tidemark.job_states')
  expect(rows).toEqual([{ state: { page: 'x' } }])
})

test('of checkpoints and variables that are set at once the last is what is found', async () => {
  const hasty = defineJob('hasty', {
    input: z.null(),
    state: z.number().default(-1),
    run: async (_, ctx) => {
      const found = (): unknown => [ctx.state, ctx.variables.get('v')]
      if (ctx.state >= 0) return found()
      await Promise.all([0, 1, 2].flatMap((n) => [ctx.checkpoint(n), ctx.variables.set('v', n)]))
      expect(found()).toEqual([2, 2])
      return ctx.snooze('1ms')
    },
  })
  // As one that asks a key service, which takes its time for the first.
  const codec: ValueCodec = {
    encode: async (value) => {
      await setTimeout(value === 0 ? 200 : 0)
      return JSON.stringify(value)
    },
    decode: (body) => JSON.parse(body) as unknown,
  }
  await using app = appOn(database, [hasty], { jobs: { codec } })
  await app.start()
  const handle = await app.jobs.spawn(hasty, null)
  expect(await handle.result()).toEqual([2, 2])
})
