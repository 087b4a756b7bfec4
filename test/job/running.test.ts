import { defineEvent, defineJob, defineListener, exponential } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const soon = { attempts: 3, backoff: () => 1 }

const double = defineJob('double', {
  input: z.object({ n: z.number() }),
  output: z.object({ doubled: z.number() }),
  retry: soon,
  run: (job) => ({ doubled: job.input.n * 2 }),
})

test('a job runs and its output is what its handle answers', async () => {
  await using app = appOn(database, [double])
  await app.start()
  const handle = await app.jobs.spawn(double, { n: 21 })
  expect(await handle.result()).toEqual({ doubled: 42 })
  const view = await app.jobs.get(handle.id)
  expect(view).toMatchObject({ status: 'completed', attempt: 1, input: { n: 21 } })
})

test('an output with values that JSON cannot say comes back as it was', async () => {
  const dated = defineJob('dated', {
    input: z.object({ at: z.date(), amount: z.bigint() }),
    run: (job) => ({ next: new Date(job.input.at.getTime() + 1), amount: job.input.amount * 2n }),
  })
  await using app = appOn(database, [dated])
  await app.start()
  const handle = await app.jobs.spawn(dated, { at: new Date(41), amount: 4n })
  expect(await handle.result()).toEqual({ next: new Date(42), amount: 8n })
})

test('a failing job is tried again with its backoff, and every attempt is kept with its error', async () => {
  let runs = 0
  const flaky = defineJob('flaky', {
    input: z.object({}),
    retry: soon,
    run: (job) => {
      runs += 1
      if (job.attempt < 3) throw new Error(`attempt ${job.attempt} fails`)
      return runs
    },
  })
  await using app = appOn(database, [flaky])
  await app.start()
  const handle = await app.jobs.spawn(flaky, {})
  expect(await handle.result()).toBe(3)
  const attempts = await app.jobs.attempts(handle.id)
  expect(attempts.map(({ attempt, outcome, error }) => [attempt, outcome, error?.message])).toEqual(
    [
      [1, 'retried', 'attempt 1 fails'],
      [2, 'retried', 'attempt 2 fails'],
      [3, 'completed', undefined],
    ],
  )
  expect(attempts.every(({ duration }) => duration !== null && duration >= 0)).toBe(true)
})

test('a job whose attempts are used up has failed, and runs again when it is retried', async () => {
  let broken = true
  const breaking = defineJob('breaking', {
    input: z.object({}),
    retry: soon,
    run: () => {
      if (broken) throw new Error('still broken')
      return 'mended'
    },
  })
  await using app = appOn(database, [breaking])
  await app.start()
  const handle = await app.jobs.spawn(breaking, {})
  await expect(handle.result()).rejects.toThrow(/TIDEMARK_JOB_FAILED.*still broken/u)
  expect(await app.jobs.get(handle.id)).toMatchObject({ status: 'failed', attempt: 3 })
  broken = false
  await app.jobs.retry(handle.id, { triggeredBy: 'ada' })
  expect(await handle.result()).toBe('mended')
  expect((await app.jobs.attempts(handle.id)).map(({ triggeredBy }) => triggeredBy)).toEqual([
    'system',
    'system',
    'system',
    'ada',
  ])
})

test('an error that cannot be retried fails the job at once', async () => {
  const picky = defineJob('picky', {
    input: z.object({}),
    retry: { ...soon, retryable: (error) => !(error instanceof RangeError) },
    run: () => {
      throw new RangeError('never')
    },
  })
  await using app = appOn(database, [picky])
  await app.start()
  const handle = await app.jobs.spawn(picky, {})
  await expect(handle.result()).rejects.toThrow(/never/u)
  expect(await app.jobs.get(handle.id)).toMatchObject({ status: 'failed', attempt: 1 })
})

test('an output that fails its schema fails the job, and nothing is stored', async () => {
  const liar = defineJob('liar', {
    input: z.object({}),
    output: z.object({ n: z.number() }),
    retry: soon,
    run: () => ({ n: 'three' as unknown as number }),
  })
  await using app = appOn(database, [liar])
  await app.start()
  const handle = await app.jobs.spawn(liar, {})
  await expect(handle.result()).rejects.toThrow(/TIDEMARK_INVALID_OUTPUT/u)
  const view = await app.jobs.get(handle.id)
  expect(view).toMatchObject({ status: 'failed', attempt: 1, output: undefined })
})

test('an input that the deployed definition cannot read fails the job and stays as it is', async () => {
  await database.query(`select tidemark.spawn('double', '{"n": "many"}')`)
  await using app = appOn(database, [double])
  await app.start()
  const [job] = await app.jobs.list()
  await untilStatus(database, job?.id ?? '', 'failed')
  expect(await app.jobs.get(job?.id ?? '')).toMatchObject({
    attempt: 1,
    input: { n: 'many' },
    error: { code: 'TIDEMARK_INVALID_INPUT' },
  })
})

test('an older input is brought up to the version of its definition', async () => {
  await database.query(`select tidemark.spawn('double', '{"number": 4}', version => 1)`)
  const newer = defineJob('double', {
    version: 2,
    input: z.object({ n: z.number() }),
    upcast: { 1: ({ number }: { number: number }) => ({ n: number }) },
    run: (job) => job.input.n * 2,
  })
  await using app = appOn(database, [newer])
  await app.start()
  const [job] = await app.jobs.list()
  expect(await app.jobs.handle(job?.id ?? '').result()).toBe(8)
})

test('a delayed job is scheduled until its time has come', async () => {
  await using app = appOn(database, [double])
  const handle = await app.jobs.spawn(double, { n: 1 }, { delay: 300 })
  const { status, runAt } = await app.jobs.get(handle.id)
  expect(status).toBe('scheduled')
  await app.start()
  await handle.result()
  const { startedAt } = await app.jobs.get(handle.id)
  expect(startedAt?.getTime()).toBeGreaterThanOrEqual(runAt?.getTime() ?? Number.NaN)
})

test('jobs run in the order of their priority, then of their time', async () => {
  const order: string[] = []
  const ranked = defineJob('ranked', {
    input: z.string(),
    run: (job) => {
      order.push(job.input)
    },
  })
  await using app = appOn(database, [ranked])
  await app.jobs.spawn(ranked, 'second')
  await app.jobs.spawn(ranked, 'third')
  await app.jobs.spawn(ranked, 'last', { priority: 5 })
  const { id } = await app.jobs.spawn(ranked, 'first', { priority: -1 })
  await app.start({ jobs: { concurrency: 1 } })
  await app.jobs.handle(id).result()
  const [last] = await app.jobs.list({ name: 'ranked' })
  await Promise.all((await app.jobs.list()).map(({ id: each }) => app.jobs.handle(each).result()))
  expect(last).toBeDefined()
  expect(order).toEqual(['first', 'second', 'third', 'last'])
})

test('a job that is spawned in a transaction that rolls back does not exist', async () => {
  await using app = appOn(database, [double])
  await expect(
    app.transaction(async ({ spawn }) => {
      await spawn(double, { n: 1 })
      throw new Error('no')
    }),
  ).rejects.toThrow('no')
  expect(await app.jobs.list()).toEqual([])
  const { result } = await app.transaction(({ spawn }) => spawn(double, { n: 1 }))
  expect((await app.jobs.list()).map(({ id }) => id)).toEqual([result.id])
})

test('a listener spawns each event’s jobs once, also when it is sent back', async () => {
  const opened = defineEvent('opened', { payload: z.object({ n: z.number() }) })
  const opener = defineListener('opener').on(opened, async ({ payload }, { spawn }) => {
    await spawn(double, { n: payload.n })
    await spawn(double, { n: payload.n + 100 })
  })
  await using app = appOn(database, [opened, opener, double])
  await using runner = await app.start()
  const [, last] = await app.publish([opened({ n: 1 }), opened({ n: 2 })])
  await app.waitFor(opener, last?.sequence ?? null)
  await app.listeners.reset('opener')
  await app.waitFor(opener, last?.sequence ?? null)
  const jobs = await app.jobs.list()
  expect(jobs.map(({ input }) => (input as { n: number }).n).toSorted((a, b) => a - b)).toEqual([
    1, 2, 101, 102,
  ])
  expect(new Set(jobs.map(({ triggeredBy }) => triggeredBy))).toEqual(new Set(['listener:opener']))
  const [event] = (await database.query('select id from tidemark.events order by sequence')).rows
  const first = jobs.find(({ input }) => (input as { n: number }).n === 1)
  expect(first?.causationId).toBe(event?.['id'])
  await runner.stop()
})

test('a unique key keeps, replaces or refuses, and is free again when its job has finished', async () => {
  await using app = appOn(database, [double])
  const first = await app.jobs.spawn(double, { n: 1 }, { uniqueKey: 'k', delay: '1h' })
  const kept = await app.jobs.spawn(double, { n: 2 }, { uniqueKey: 'k' })
  expect(kept).toMatchObject({ id: first.id, duplicate: true })
  expect((await app.jobs.get(first.id)).input).toEqual({ n: 1 })
  await expect(
    app.jobs.spawn(double, { n: 3 }, { uniqueKey: 'k', onDuplicate: 'fail' }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_DUPLICATE_JOB', details: { id: first.id } })
  await app.jobs.spawn(double, { n: 4 }, { uniqueKey: 'k', onDuplicate: 'replace' })
  expect(await app.jobs.get(first.id)).toMatchObject({ input: { n: 4 }, status: 'queued' })
  await app.start()
  expect(await first.result()).toEqual({ doubled: 8 })
  const next = await app.jobs.spawn(double, { n: 5 }, { uniqueKey: 'k' })
  expect(next.duplicate).toBe(false)
  expect(await next.result()).toEqual({ doubled: 10 })
})

test('a name with JSON is checked as a definition is', async () => {
  await using app = appOn(database, [double])
  await expect(app.jobs.spawn('double', { n: 'x' })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_INPUT',
  })
  await expect(app.jobs.spawn('dubble', {})).rejects.toMatchObject({
    code: 'TIDEMARK_UNKNOWN_JOB_TYPE',
    hint: 'Did you mean "double"?',
  })
  const { id } = await app.jobs.spawn('double', { n: 2 })
  expect(await app.jobs.get(id)).toMatchObject({ name: 'double', input: { n: 2 } })
})

test('a job of an unknown type waits, is said to wait, and runs when somebody knows it', async () => {
  const { rows } = await database.query<{ id: string }>(
    `select tidemark.spawn('double', '{"n": 3}') as id`,
  )
  const id = rows[0]?.id ?? ''
  const other = defineJob('other', { input: z.null(), run: () => {} })
  await using stranger = appOn(database, [other])
  await using running = await stranger.start({ leaseDuration: 500 })
  await expect
    .poll(async () => (await stranger.jobs.get(id)).parked, { timeout: 10_000 })
    .toBe('type')
  await running.stop()
  await using app = appOn(database, [double])
  await app.start({ leaseDuration: 500 })
  expect(await app.jobs.handle(id).result()).toEqual({ doubled: 6 })
})

test('what a process can run is published with its JSON Schemas', async () => {
  await using app = appOn(database, [double])
  await app.start()
  expect(await app.jobs.types()).toMatchObject([
    {
      name: 'double',
      processes: 1,
      input: { type: 'object', properties: { n: { type: 'number' } }, required: ['n'] },
      output: { type: 'object' },
    },
  ])
})

test('a job that had another name runs what was spawned by it', async () => {
  const { rows } = await database.query<{ id: string }>(
    `select tidemark.spawn('twice', '{"n": 5}') as id`,
  )
  const renamed = defineJob('double', {
    aliases: ['twice'],
    input: z.object({ n: z.number() }),
    run: (job) => job.input.n * 2,
  })
  await using app = appOn(database, [renamed])
  await app.start()
  expect(await app.jobs.handle(rows[0]?.id ?? '').result()).toBe(10)
})

test('a stopping runner lets running jobs finish and gives back those that have not begun', async () => {
  const latch = new Latch()
  const slow = defineJob('slow', {
    input: z.number(),
    run: async (job) => {
      await latch.pass()
      return job.input
    },
  })
  await using app = appOn(database, [slow])
  const runner = await app.start({ jobs: { concurrency: 1 } })
  const first = await app.jobs.spawn(slow, 1)
  const second = await app.jobs.spawn(slow, 2)
  await latch.reached
  const stopped = runner.stop()
  latch.open()
  await stopped
  expect(await first.result()).toBe(1)
  expect(await app.jobs.get(second.id)).toMatchObject({ status: 'queued', attempt: 0 })
  expect(latch.count).toBe(1)
})

test('an attempt past its timeout is cut off and its late work does not count', async () => {
  const latch = new Latch()
  const late = Promise.withResolvers<unknown>()
  const stuck = defineJob('stuck', {
    input: z.null(),
    timeout: 200,
    retry: { attempts: 2, backoff: () => 1 },
    run: async (job, ctx) => {
      if (job.attempt > 1) return 'second'
      await latch.pass()
      await ctx.step('late', () => 1).then(late.resolve, late.resolve)
      return 'first'
    },
  })
  await using app = appOn(database, [stuck])
  await app.start()
  const handle = await app.jobs.spawn(stuck, null)
  expect(await handle.result()).toBe('second')
  latch.open()
  expect(await late.promise).toMatchObject({ code: 'TIDEMARK_JOB_TIMEOUT' })
  const [first] = await app.jobs.attempts(handle.id)
  expect(first).toMatchObject({ outcome: 'retried', error: { code: 'TIDEMARK_JOB_TIMEOUT' } })
  expect(await app.jobs.steps(handle.id)).toEqual([])
})

test('a definition that cannot work is refused', () => {
  const input = z.null()
  expect(() => defineJob('x', { input })).toThrow(/either `run` or `transact`/u)
  expect(() => defineJob('x', { input, run: () => {}, retries: 3 } as never)).toThrow(
    /no option "retries"/u,
  )
  expect(() =>
    defineJob('x', { input, run: () => {}, state: z.object({ page: z.number() }) }),
  ).toThrow(/does not say what there is at first/u)
  expect(() => defineJob('x', { input, version: 2, run: () => {} })).toThrow(
    /cannot read version 1/u,
  )
  expect(exponential('1s', '1h')(2)).toBeLessThanOrEqual(1000)
})

test('a job that completes after it has failed shows no error; its attempts do', async () => {
  let tries = 0
  const flaky = defineJob('flaky_once', {
    input: z.object({}),
    retry: { attempts: 2, backoff: () => 0 },
    run: () => {
      tries += 1
      if (tries === 1) throw new Error('the first time')
    },
  })
  await using app = appOn(database, [flaky])
  await using _ = await app.start()
  const handle = await app.jobs.spawn(flaky, {})
  await handle.result()
  expect(await app.jobs.get(handle.id)).toMatchObject({ status: 'completed', error: null })
  const [listed] = await app.jobs.list()
  expect(listed?.error).toBeNull()
  const attempts = await app.jobs.attempts(handle.id)
  expect(attempts.map(({ outcome, error }) => [outcome, error?.message])).toEqual([
    ['retried', 'the first time'],
    ['completed', undefined],
  ])
})
