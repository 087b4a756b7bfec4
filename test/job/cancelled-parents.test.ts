import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// A parent that is cancelled waits for the children that are to end first; nothing else wakes it meanwhile.

const database = useFreshDatabase()
const child = defineJob('child', {
  input: z.string(),
  run: (_, ctx) => ctx.waitForSignal('end', 'end'),
})

test('a parent that waits is cancelled when its child has ended, and does nothing until then', async () => {
  let runs = 0
  const parent = defineJob('parent', {
    input: z.null(),
    run: async (_, ctx) => {
      runs += 1
      await Promise.all([
        ctx.child('waits', child, 'waits', { onCancel: 'wait' }),
        ctx.child('goes', child, 'goes'),
        ctx.waitForSignal('signal', 'go'),
      ])
    },
  })
  await using app = appOn(database, [child, parent])
  await app.start()
  const handle = await app.jobs.spawn(parent, null)
  await until(
    database,
    `select count(*)::int from tidemark.job_waits where kind in ('job', 'signal')`,
    5,
  )
  expect(await app.jobs.cancel(handle.id)).toBe('scheduled')
  expect(await app.jobs.get(handle.id)).toMatchObject({
    status: 'scheduled',
    requested: 'cancel',
    waiting: { for: 'children' },
  })
  // Nobody else has a say: not a signal, not another child's end, not an operator.
  await app.jobs.signal(handle.id, 'go')
  await until(
    database,
    `select count(*)::int from tidemark.jobs where name = 'child' and status = 'cancelled'`,
    1,
  )
  for (const verb of ['pause', 'resume', 'retry'] as const) {
    await expect(app.jobs[verb](handle.id)).rejects.toMatchObject({ code: 'TIDEMARK_JOB_STATUS' })
  }
  expect(await app.jobs.cancel(handle.id)).toBe('scheduled')
  expect(await app.jobs.bulk.cancel({ name: 'parent' })).toMatchObject({ done: 0, asked: 1 })
  const [open] = await app.jobs.list({ name: 'child', status: 'scheduled' })
  await app.jobs.signal(open?.id ?? '', 'end')
  await untilStatus(database, handle.id, 'cancelled')
  expect((await app.jobs.get(open?.id ?? '')).status).toBe('completed')
  expect(runs).toBe(1)
  await until(database, 'select count(*)::int from tidemark.job_cancellations', 0)
})

test('a parent that runs is cancelled when its child has ended, and so is its own parent', async () => {
  const latch = new Latch()
  const middle = defineJob('middle', {
    input: z.null(),
    run: async (_, ctx) => {
      void ctx.child('leaf', child, 'leaf', { onCancel: 'wait' })
      await latch.pass()
      await ctx.step('busy', async (signal) => {
        await new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error))
        })
      })
    },
  })
  const top = defineJob('top', {
    input: z.null(),
    run: (_, ctx) => ctx.child('middle', middle, null, { onCancel: 'wait' }),
  })
  await using app = appOn(database, [child, middle, top])
  await app.start()
  const handle = await app.jobs.spawn(top, null)
  latch.open()
  await latch.reached
  await until(
    database,
    `select count(*)::int from tidemark.job_waits where kind in ('job', 'signal')`,
    2,
  )
  expect(await app.jobs.cancel(handle.id)).toBe('scheduled')
  const [running] = await app.jobs.list({ name: 'middle' })
  expect(await app.jobs.cancel(running?.id ?? '')).toBe('running')
  await untilStatus(database, running?.id ?? '', 'scheduled')
  expect((await app.jobs.get(handle.id)).status).toBe('scheduled')
  const [leaf] = await app.jobs.list({ name: 'child' })
  await app.jobs.signal(leaf?.id ?? '', 'end')
  await untilStatus(database, running?.id ?? '', 'cancelled')
  await untilStatus(database, handle.id, 'cancelled')
})

test('while a parent is held it has not been cancelled for anybody, whatever it was doing', async () => {
  const latch = new Latch()
  const parent = defineJob('parent', {
    input: z.boolean(),
    lifecycle: ['suspended', 'cancelled', 'retried'],
    uniqueKey: (waits) => String(waits),
    concurrencyKey: String,
    run: async ({ input: waits }, ctx) => {
      const done = ctx.child('child', child, 'child', { onCancel: 'wait' })
      if (waits) return done
      await latch.pass()
      await ctx.step(
        'busy',
        (signal) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason as Error))
          }),
      )
      return done
    },
  })
  const top = defineJob('top', {
    input: z.boolean(),
    retry: { attempts: 1 },
    run: ({ input: waits }, ctx) => ctx.child('parent', parent, waits),
  })
  await using app = appOn(database, [child, parent, top])
  await app.start()
  for (const waits of [true, false]) {
    const handle = await app.jobs.spawn(top, waits)
    const query = `select count(*)::int from tidemark.job_steps s join tidemark.jobs j on j.id = s.job
      where s.kind = 'child' and j.unique_key = $1`
    await until(database, query, 1, [String(waits)])
    const [held] = await app.jobs.list({ name: 'parent', uniqueKey: String(waits) })
    const id = held?.id ?? ''
    if (waits) await untilStatus(database, id, 'scheduled')
    else await latch.reached
    await app.jobs.cancel(id)
    latch.open()
    await untilStatus(database, id, 'scheduled')
    await until(database, `select requested from tidemark.jobs where id = $1`, 'cancel', [id])
    // Its key is still taken, its parent waits, nothing was published, and it is counted as what it is.
    const again = await app.jobs.spawn(parent, waits)
    expect(again.id).toBe(id)
    expect((await app.jobs.get(handle.id)).status).toBe('scheduled')
    const told = `select count(*)::int from tidemark.events where key = $1 and type in ('job.cancelled', 'job.retried')`
    await until(database, told, 0, [id])
    await until(database, 'select count(*)::int from tidemark.miscounted_jobs()', 0)
    const [open] = await app.jobs.list({ name: 'child', status: 'scheduled' })
    await app.jobs.signal(open?.id ?? '', 'end')
    await untilStatus(database, id, 'cancelled')
    await until(database, told, 1, [id])
    await untilStatus(database, handle.id, 'failed')
    await until(database, 'select count(*)::int from tidemark.miscounted_jobs()', 0)
  }
})

test('a wait with an option that there is not is refused before it begins', async () => {
  const wrong = defineJob('wrong', {
    input: z.string(),
    retry: { attempts: 1 },
    run: async ({ input }, ctx) => {
      const timout = { timout: '1s' } as object
      if (input === 'child') await ctx.child('c', child, 'x', { onCancel: 'never' as 'wait' })
      else await ctx.waitForSignal('s', 's', timout)
    },
  })
  await using app = appOn(database, [child, wrong])
  await app.start()
  for (const what of ['child', 'signal']) {
    const { id } = await app.jobs.spawn(wrong, what)
    await untilStatus(database, id, 'failed')
    expect((await app.jobs.get(id)).error).toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  }
  expect(await app.jobs.list({ name: 'child' })).toEqual([])
})
