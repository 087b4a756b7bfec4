import { AssertionError } from 'node:assert'
import { advance, assertSpawned, drainJobs, faults, performJob, spawned } from '@tidemark/testing'
import { defineEvent, defineJob, defineListener, defineSchedule } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const opened = defineEvent('opened', { payload: z.object({ id: z.string(), at: z.date() }) })
const mail = defineJob('mail', { input: z.object({ to: z.string() }), run: () => 'sent' })

test('a job is performed with its context, and what it did is answered', async () => {
  const opening = defineJob('opening', {
    input: z.object({ id: z.string() }),
    output: z.object({ id: z.string(), steps: z.number() }),
    state: z.object({ page: z.number() }).default({ page: 1 }),
    run: async (job, ctx) => {
      await ctx.step('check', () => 'never run')
      const number = await ctx.step('number', () => 7n)
      await ctx.variables.set('number', number)
      await ctx.checkpoint({ page: ctx.state.page + 1 })
      ctx.progress(0.5)
      ctx.progress({ rows: 3 })
      await ctx.sleep('a while', '2h')
      const event = await ctx.waitForEvent('confirmed', opened)
      await ctx.transaction(async (tx) => {
        await tx.tx.query(`insert into effects (listener, sequence) values ('opening', 4)`)
        tx.publish(opened({ id: job.input.id, at: event?.payload.at ?? new Date(0) }))
        await tx.spawn(mail, { to: job.input.id }, { delay: '1s' })
      })
      await expect(
        ctx.transaction(async (tx) => {
          tx.publish(opened({ id: 'undone', at: new Date(0) }))
          await tx.spawn(mail, { to: 'undone' })
          throw new Error('undone')
        }),
      ).rejects.toThrow('undone')
      return { id: job.input.id, steps: ctx.steps.length }
    },
  })
  await using app = appOn(database, [opening, mail, opened])
  const at = new Date(5)
  const done = await performJob(
    app,
    opening,
    { id: 'a-1' },
    {
      state: { page: 4 },
      steps: { check: 'done before' },
      context: { waitForEvent: () => Promise.resolve({ payload: { id: 'x', at } } as never) },
    },
  )
  expect(done).toMatchObject({
    output: { id: 'a-1', steps: 2 },
    snoozed: undefined,
    state: { page: 5 },
    progress: [0.5, { rows: 3 }],
    spawned: [{ name: 'mail', input: { to: 'a-1' }, options: { delay: '1s' } }],
    published: [{ payload: { id: 'a-1', at } }],
  })
  expect([...done.steps]).toEqual([
    ['check', 'done before'],
    ['number', 7n],
  ])
  expect([...done.variables]).toEqual([['number', 7n]])
  expect([...done.sleeps]).toEqual([['a while', 7_200_000]])
  expect(await effectsOf(database, 'opening')).toEqual([4n])
  expect(await Array.fromAsync(app.events())).toMatchObject([{ payload: { id: 'a-1', at } }])
  await assertSpawned(app, mail)
})

test('a performed job that fails, snoozes, completes early or waits for nothing known says so', async () => {
  const moody = defineJob('moody', {
    input: z.enum(['fail', 'snooze', 'complete', 'wait']),
    run: async (job, ctx): Promise<string> => {
      if (job.input === 'fail') throw new Error(`attempt ${job.attempt}`)
      if (job.input === 'snooze') await ctx.snooze('5m')
      if (job.input === 'complete') await ctx.transaction(async (tx) => tx.complete('early'))
      if (job.input === 'wait') await ctx.child('other', mail, { to: 'x' })
      return 'late'
    },
  })
  const posting = defineJob('posting', {
    input: z.null(),
    transact: async (_, { tx, publish }) => {
      await tx.query(`insert into effects (listener, sequence) values ('posting', 1)`)
      publish(noted({ note: 'posted' }))
      return 'posted'
    },
  })
  await using app = appOn(database, [moody, posting, mail, noted])
  await expect(performJob(app, moody, 'fail', { attempt: 3 })).rejects.toThrow('attempt 3')
  expect(await performJob(app, moody, 'snooze')).toMatchObject({
    output: undefined,
    snoozed: 300_000,
  })
  expect(await performJob(app, moody, 'complete')).toMatchObject({ output: 'early' })
  expect(await performJob(app, moody, 'wait', { steps: { other: 'sent' } })).toMatchObject({
    output: 'late',
  })
  await expect(performJob(app, moody, 'wait')).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_UNSUPPORTED',
  })
  await expect(performJob(app, mail, { to: 7 } as never)).rejects.toThrow('expected string')
  const posted = await performJob(app, posting, null)
  expect(posted).toMatchObject({ output: 'posted', published: [{ payload: { note: 'posted' } }] })
  expect(await effectsOf(database, 'posting')).toEqual([1n])
})

test('drainJobs leaves what is paused, and runs the rest', async () => {
  const letter = defineJob('letter', { input: z.string(), queue: 'post', run: () => {} })
  await using app = appOn(database, [mail, letter])
  await app.jobs.pauses.pauseQueue('post')
  const paused = await app.jobs.spawn(letter, 'a')
  const other = await app.jobs.spawn(mail, { to: 'a' })
  await drainJobs(app)
  expect(await other.result()).toBe('sent')
  expect((await paused.report()).status).toBe('queued')
})

test('what listeners spawn is asserted with a difference, and drained', async () => {
  const welcome = defineListener('welcome').on(opened, async (event, { spawn }) => {
    await spawn(mail, { to: event.payload.id })
  })
  await using app = appOn(database, [welcome, mail])
  const at = new Date(0)
  await app.publish([opened({ id: 'a', at }), opened({ id: 'b', at })])
  await drainJobs(app)
  await assertSpawned(app, mail, { to: 'a' }, { to: 'b' })
  expect(await spawned(app, mail)).toMatchObject([
    { status: 'completed', triggeredBy: 'listener:welcome' },
    { status: 'completed' },
  ])
  const wrong = assertSpawned(app, mail, { to: 'a' }, { to: 'c' })
  await expect(wrong).rejects.toThrowError(AssertionError)
  await expect(wrong).rejects.toThrowError(/\+.*to: 'b'[^]*-.*to: 'c'/)
})

test('time is advanced for retries, snoozes, delays, sleeps, limits of waits, schedules and listeners', async () => {
  const ran: string[] = []
  const retried = defineJob('retried', {
    input: z.null(),
    retry: { attempts: 3, backoff: () => 3_600_000 },
    run: (job) => {
      ran.push(`retried ${job.attempt}`)
      if (job.attempt < 3) throw new Error('not yet')
    },
  })
  const patient = defineJob('patient', {
    input: z.null(),
    run: async (_, ctx) => {
      if (!ctx.variables.has('snoozed')) {
        await ctx.variables.set('snoozed', true)
        await ctx.snooze('1h')
      }
      await ctx.sleep('night', '8h')
      const event = await ctx.waitForEvent('never', opened, { timeout: '1d' })
      ran.push(event === undefined ? 'gave up' : 'seen')
    },
  })
  const nightly = defineJob('nightly', { input: z.null(), run: () => void ran.push('nightly') })
  const schedule = defineSchedule('every-night', {
    job: nightly,
    cron: '0 3 * * *',
    timeZone: 'UTC',
    input: () => null,
  })
  // When the next night comes depends on when the test runs.
  const besides = (): string[] => ran.filter((one) => one !== 'nightly')
  let failures = 2
  const listener = defineListener('stumbling', {
    retry: { attempts: 5, backoff: () => 3_600_000 },
  }).on(noted, async (event, { tx }) => {
    if (failures-- > 0) throw new Error('not yet')
    await recordEffect(tx, 'stumbling', event)
  })
  await using app = appOn(database, [retried, patient, nightly, schedule, listener, opened])
  await app.jobs.spawn(retried, null)
  await app.jobs.spawn(patient, null)
  await drainJobs(app)
  expect(besides()).toEqual(['retried 1'])

  expect(await advance(app, '30m')).toMatchObject({ retries: 0, schedules: 1 })
  await drainJobs(app)
  expect(besides()).toEqual(['retried 1'])
  await advance(app, '31m')
  await drainJobs(app)
  expect(besides()).toEqual(['retried 1', 'retried 2'])
  await advance(app, '8h')
  await drainJobs(app)
  expect(besides()).toEqual(['retried 1', 'retried 2', 'retried 3'])
  await advance(app, '1d')
  await drainJobs(app)
  expect(ran).toContain('gave up')
  expect(ran).toContain('nightly')

  // A runner that waits for the old time learns of the new one.
  await using _ = await app.start({ handleSignals: false, acquireInterval: 20 })
  const { sequence } = await app.publish(noted({ note: 'one' }))
  for (let attempt = 1; attempt <= 2; attempt++) {
    await expect
      .poll(async () => (await app.listeners.get('stumbling')).partitions[0]?.attempts, {
        timeout: 15_000,
      })
      .toBe(attempt)
    expect(await advance(app, '1h')).toMatchObject({ retries: 1 })
  }
  await app.waitFor(listener, sequence)
  expect(await effectsOf(database, 'stumbling')).toEqual([sequence])
})

test.for(['checkpoint', 'step', 'after-step', 'completion'] as const)(
  'a job that crashes at a commit boundary (%s) is tried again from what was kept',
  async (point) => {
    const ran: string[] = []
    const moving = defineJob('moving', {
      input: z.null(),
      state: z.object({ page: z.number() }).default({ page: 0 }),
      retry: { attempts: 5, backoff: () => 1 },
      run: async (_, ctx) => {
        await ctx.step('first', () => void ran.push('first'))
        if (ctx.state.page === 0) {
          ran.push('page')
          await ctx.checkpoint({ page: 1 })
        }
        await ctx.step('second', () => void ran.push('second'))
        await ctx.transaction(async (tx) => {
          await tx.tx.query(`insert into effects (listener, sequence) values ('moving', 1)`)
          tx.complete('moved')
        })
      },
    })
    await using app = appOn(database, [moving])
    await using crash = await faults(database).crashJob(point, moving)
    const handle = await app.jobs.spawn(moving, null)
    await drainJobs(app)
    expect(await handle.result()).toBe('moved')
    expect(await crash.hits()).toBeGreaterThan(1)
    expect(await effectsOf(database, 'moving')).toEqual([1n])
    // The connection is gone, the process is not: what has run is written on another one, and nothing runs twice.
    expect(ran).toEqual(['first', 'page', 'second'])
  },
)
