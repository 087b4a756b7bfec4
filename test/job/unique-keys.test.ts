import { setTimeout } from 'node:timers/promises'
import { defineJob, isTidemarkError, type JobDefinition } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const seen: string[] = []

const invoice = defineJob('invoice', {
  input: z.object({ text: z.string() }),
  uniqueKey: () => 'customer 1',
  run: () => {},
})
const reminder = defineJob('reminder', {
  input: z.object({ text: z.string() }),
  uniqueKey: () => 'customer 1',
  concurrencyKey: () => 'customer 1',
  run: () => {},
})

test('two types with the same unique key have a job each, whatever the policy', async () => {
  await using app = appOn(database, [invoice, reminder])
  const first = await app.jobs.spawn(invoice, { text: 'a' })
  for (const onDuplicate of ['keep', 'replace', 'fail'] as const) {
    const uniqueKey = `customer 1 ${onDuplicate}`
    const one = await app.jobs.spawn(invoice, { text: 'a' }, { onDuplicate, uniqueKey })
    const other = await app.jobs.spawn(reminder, { text: 'b' }, { onDuplicate, uniqueKey })
    expect([one.outcome, other.outcome]).toEqual(['spawned', 'spawned'])
    expect(await app.jobs.get(one.id)).toMatchObject({ name: 'invoice', input: { text: 'a' } })
    expect(await app.jobs.get(other.id)).toMatchObject({ name: 'reminder', input: { text: 'b' } })
  }
  expect(first.duplicate).toBe(false)
})

test('SQL spawns by the same rule', async () => {
  await using app = appOn(database, [invoice, reminder])
  const { id } = await app.jobs.spawn(invoice, { text: 'a' })
  const spawn = async (name: string, key: string | null, given?: string): Promise<string> => {
    const { rows } = await database.query<{ id: string }>(
      `select tidemark.spawn($1, '{"text":"sql"}', unique_key => $2, id => coalesce($3::uuid, gen_random_uuid())) as id`,
      [name, key, given ?? null],
    )
    return rows[0]?.id ?? ''
  }
  expect(await spawn('invoice', 'customer 1')).toBe(id)
  const other = await spawn('reminder', 'customer 1')
  expect(other).not.toBe(id)
  expect(await spawn('reminder', 'customer 1')).toBe(other)
  expect(await spawn('invoice', null, id)).toBe(id)
  await expect(spawn('reminder', null, id)).rejects.toThrow(/of another type/u)
  await expect(spawn('reminder', 'k'.repeat(5000))).rejects.toThrow(/1 to 1000 bytes/u)
  await expect(spawn('not a name', null)).rejects.toThrow(/cannot name a type/u)
  for (const given of [
    `run_at => 'infinity'`,
    `run_at => '-infinity'`,
    `priority => -2147483648`,
    'priority => null',
    'version => 0',
    `triggered_by => ''`,
    `triggered_by => repeat('x', 1001)`,
    'queue => null',
    `unique_key => ''`,
  ]) {
    const refused = database.query(`select tidemark.spawn('invoice', '{}', ${given})`)
    await expect(refused, given).rejects.toThrow(/spawn: /u)
  }
})

test('an id is that of one type: another type is refused, in a transaction too, and the caller goes on', async () => {
  await using app = appOn(database, [invoice, reminder])
  const { id } = await app.jobs.spawn(invoice, { text: 'a' })
  const again = await app.jobs.spawn(invoice, { text: 'b' }, { id: id.toUpperCase() })
  expect([again.id, again.outcome]).toEqual([id, 'kept'])
  await expect(app.jobs.spawn(reminder, { text: 'b' }, { id })).rejects.toThrow(
    /TIDEMARK_DUPLICATE_JOB/u,
  )
  await app.transaction(async ({ spawn }) => {
    const refused = spawn(reminder, { text: 'b' }, { id, uniqueKey: 'other' })
    await expect(refused).rejects.toThrow(/another type/u)
    const kept = await spawn(invoice, { text: 'c' }, { id, uniqueKey: 'third' })
    expect(kept).toMatchObject({ id, duplicate: true })
    const more = await spawn(invoice, { text: 'd' }, { uniqueKey: 'fourth' })
    expect(more.outcome).toBe('spawned')
  })
})

test('a handle of a type refuses a job of another one', async () => {
  await using app = appOn(database, [invoice, reminder])
  const { id } = await app.jobs.spawn(invoice, { text: 'a' })
  expect(await app.jobs.handle(invoice, id).report()).toMatchObject({ status: 'queued' })
  await expect(app.jobs.handle(reminder, id).report()).rejects.toThrow(/TIDEMARK_UNKNOWN_JOB/u)
  await expect(app.jobs.handle(reminder, id).result()).rejects.toThrow(/of the type invoice/u)
})

test('a key holds under the names that a type had before', async () => {
  const before = defineJob('mailing', {
    input: z.string(),
    uniqueKey: () => 'k',
    run: () => {},
  })
  const renamed = defineJob('newsletter', {
    aliases: ['mailing'],
    input: z.string(),
    uniqueKey: () => 'k',
    run: () => {},
  })
  await using old = appOn(database, [before])
  await using app = appOn(database, [renamed])
  const { id } = await old.jobs.spawn(before, 'a')
  const kept = await app.jobs.spawn(renamed, 'b')
  expect([kept.id, kept.outcome]).toEqual([id, 'kept'])
  const replaced = await app.jobs.spawn(renamed, 'c', { onDuplicate: 'replace' })
  expect([replaced.id, replaced.outcome]).toEqual([id, 'replaced'])
  expect(await app.jobs.get(id)).toMatchObject({ name: 'newsletter', input: 'c' })
})

test('jobs of two types with the same concurrency key run side by side, and those of one do not', async () => {
  const latches = { one: new Latch(), other: new Latch() }
  const keyed = (name: 'one' | 'other') =>
    defineJob(name, {
      input: z.number(),
      concurrencyKey: () => 'k',
      run: () => latches[name].pass(),
    })
  const one = keyed('one')
  const other = keyed('other')
  await using app = appOn(database, [one, other])
  for (const n of [1, 2]) {
    await app.jobs.spawn(one, n)
    await app.jobs.spawn(other, n)
  }
  await app.start()
  await Promise.all([latches.one.reached, latches.other.reached])
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'key'`, 2)
  expect([latches.one.count, latches.other.count]).toEqual([1, 1])
  latches.one.open()
  latches.other.open()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 4)
})

/** A type before it was renamed, and after. */
function renamedType(
  run: () => Promise<void>,
): readonly [JobDefinition<string>, JobDefinition<string>] {
  const options = {
    input: z.string(),
    uniqueKey: (key: string) => key,
    concurrencyKey: () => 'k',
    run,
  }
  return [defineJob('before', options), defineJob('after', { ...options, aliases: ['before'] })]
}

test('jobs with one concurrency key do not run side by side under the old name and the new one', async () => {
  let running = 0
  let most = 0
  const [before, after] = renamedType(async () => {
    running += 1
    most = Math.max(most, running)
    await setTimeout(50)
    running -= 1
  })
  await using old = appOn(database, [before])
  await using app = appOn(database, [after])
  await app.start()
  await old.start()
  for (const n of [1, 2, 3]) {
    await old.jobs.spawn(before, `old ${n}`)
    await app.jobs.spawn(after, `new ${n}`)
  }
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 6)
  expect(most).toBe(1)
})

test('what follows a job that has begun waits for it also under a new name, and SQL knows all names', async () => {
  const latch = new Latch()
  const [before, after] = renamedType(() => latch.pass())
  await using old = appOn(database, [before])
  await using app = appOn(database, [after])
  await app.start()
  const first = await old.jobs.spawn(before, 'u')
  await latch.reached
  const second = await app.jobs.spawn(after, 'u', { onDuplicate: 'replace' })
  expect(second.outcome).toBe('follows')
  const { rows } = await database.query(
    `select tidemark.spawn('after', '"u"', unique_key => 'u') as id`,
  )
  expect(rows).toEqual([{ id: first.id }])
  // Released jobs have nothing to wait for any more.
  await database.query('select tidemark.release_successors()')
  expect((await app.jobs.get(second.id)).waiting).toMatchObject({ for: 'unique key' })
  latch.open()
  await second.result()
})

const input = z.object({ text: z.string(), key: z.string().default('k') })
const newOptions = { onDuplicate: 'replace', uniqueKey: 'u' } as const

test('replacing what has not begun makes it the new job in every respect', async () => {
  const job = defineJob('all_of_it', {
    input,
    version: 1,
    concurrencyKey: ({ key }) => key,
    limit: { rate: { limit: 5, per: '1h', key: ({ key }) => key } },
    run: () => {},
  })
  await using app = appOn(database, [job])
  const first = await app.jobs.spawn(job, { text: 'a', key: 'old' }, { uniqueKey: 'u' })
  const second = await app.jobs.spawn(
    job,
    { text: 'b', key: 'new' },
    { ...newOptions, queue: 'other', priority: 'high', triggeredBy: 'ada', delay: '1h' },
  )
  expect([second.id, second.outcome]).toEqual([first.id, 'replaced'])
  const { rows } = await database.query('select * from tidemark.jobs')
  expect(rows).toEqual([
    expect.objectContaining({
      input: { text: 'b', key: 'new' },
      concurrency_key: 'new',
      rate_key: 'new',
      queue: 'other',
      priority: -10,
      triggered_by: 'ada',
      status: 'scheduled',
      parked: null,
    }),
  ])
})

test('a key that a replaced job leaves is free for those behind it', async () => {
  const job = defineJob('leaver', {
    input: z.string(),
    concurrencyKey: (key) => (key === '' ? undefined : key),
    run: (each) => void seen.push(each.input),
  })
  await using app = appOn(database, [job])
  await app.jobs.spawn(job, 'k', { uniqueKey: 'u' })
  await app.jobs.spawn(job, 'k')
  await database.query(`select tidemark.admit_jobs()`)
  await until(database, `select count(*)::int from tidemark.jobs where parked = 'key'`, 1)
  const { outcome } = await app.jobs.spawn(job, '', { uniqueKey: 'u', onDuplicate: 'replace' })
  expect(outcome).toBe('replaced')
  await app.start()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
})

test('a paused job that has not begun is replaced and stays paused', async () => {
  const job = defineJob('paused', { input: z.string(), run: () => {} })
  await using app = appOn(database, [job])
  const { id } = await app.jobs.spawn(job, 'a', { uniqueKey: 'u' })
  await app.jobs.pause(id)
  expect((await app.jobs.spawn(job, 'b', newOptions)).outcome).toBe('replaced')
  expect(await app.jobs.get(id)).toMatchObject({ status: 'paused', input: 'b' })
})

test('what has begun goes on with its own input, and one successor with the newest runs after it', async () => {
  const latch = new Latch()
  const ran: string[] = []
  const job = defineJob('begun', {
    input: z.string(),
    run: async (each, ctx) => {
      await ctx.step('first', () => ran.push(`step ${each.input}`))
      if (each.input === 'a') await latch.pass()
      ran.push(each.input)
    },
  })
  await using app = appOn(database, [job])
  const first = await app.jobs.spawn(job, 'a', { uniqueKey: 'u' })
  await app.start()
  await latch.reached
  const second = await app.jobs.spawn(job, 'b', newOptions)
  const third = await app.jobs.spawn(job, 'c', newOptions)
  expect([second.outcome, third.outcome]).toEqual(['follows', 'follows'])
  expect([second.duplicate, third.duplicate, third.id === second.id]).toEqual([false, true, true])
  expect(second.id).not.toBe(first.id)
  expect(await app.jobs.get(second.id)).toMatchObject({
    status: 'scheduled',
    runAt: null,
    waiting: { for: 'unique key' },
  })
  // Pausing and resuming it does not let it run beside the other.
  await app.jobs.pause(second.id)
  expect(await app.jobs.resume(second.id)).toBe('scheduled')
  latch.open()
  await untilStatus(database, second.id, 'completed')
  expect(ran).toEqual(['step a', 'a', 'step c', 'c'])
  expect(await app.jobs.get(second.id)).toMatchObject({ input: 'c', waiting: null })
})

test('between two attempts the old input is not mixed with the new one', async () => {
  const ran: string[] = []
  const job = defineJob('between', {
    input: z.string(),
    retry: { attempts: 2, backoff: () => 3_600_000 },
    run: async (each, ctx) => {
      ran.push(await ctx.step('who', () => each.input))
      if (each.input === 'a') throw new Error('as told')
    },
  })
  await using app = appOn(database, [job])
  const first = await app.jobs.spawn(job, 'a', { uniqueKey: 'u' })
  await app.start()
  await until(database, `select count(*)::int from tidemark.job_attempts`, 1)
  const second = await app.jobs.spawn(job, 'b', newOptions)
  expect(second.outcome).toBe('follows')
  expect(await app.jobs.get(first.id)).toMatchObject({ input: 'a', status: 'scheduled' })
  await app.jobs.cancel(first.id)
  await untilStatus(database, second.id, 'completed')
  expect(ran).toEqual(['a', 'b'])
})

test('of spawns in quick succession one job runs with the newest input', async () => {
  const ran: string[] = []
  const job = defineJob('gathered', { input: z.string(), run: (each) => void ran.push(each.input) })
  await using app = appOn(database, [job])
  const runAt = async (id: string): Promise<number> =>
    (await app.jobs.get(id)).runAt?.getTime() ?? 0

  const debounced = { uniqueKey: 'd', debounce: { window: '1h', longest: '90m' } } as const
  const one = await app.jobs.spawn(job, 'd1', debounced)
  await database.query(`update tidemark.jobs set run_at = run_at - interval '30 min',
    created_at = created_at - interval '30 min'`)
  const before = await runAt(one.id)
  const two = await app.jobs.spawn(job, 'd2', debounced)
  expect([two.id, two.outcome]).toEqual([one.id, 'replaced'])
  expect((await runAt(one.id)) - before).toBeGreaterThan(29 * 60_000)
  await database.query(`update tidemark.jobs set created_at = created_at - interval '55 min'`)
  await app.jobs.spawn(job, 'd3', debounced)
  // Not later than 90 minutes after the first: 5 minutes from now.
  expect(await runAt(one.id)).toBeLessThan(before)

  const throttled = { uniqueKey: 't', throttle: '1h' } as const
  const first = await app.jobs.spawn(job, 't1', throttled)
  const at = await runAt(first.id)
  const last = await app.jobs.spawn(job, 't2', throttled)
  expect([last.id, await runAt(first.id)]).toEqual([first.id, at])

  await database.query(`update tidemark.jobs set run_at = now()`)
  await app.start()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
  expect(ran.toSorted()).toEqual(['d3', 't2'])
})

test('what is gathered while its job runs is run once more', async () => {
  const latch = new Latch()
  const ran: string[] = []
  const job = defineJob('last_run', {
    input: z.string(),
    run: async (each) => {
      if (each.input === 'a') await latch.pass()
      ran.push(each.input)
    },
  })
  await using app = appOn(database, [job])
  const options = { uniqueKey: 'u', throttle: 1 } as const
  await app.jobs.spawn(job, 'a', options)
  await app.start()
  await latch.reached
  for (const text of ['b', 'c', 'd']) await app.jobs.spawn(job, text, options)
  latch.open()
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
  expect(ran).toEqual(['a', 'd'])
})

test('debounce and throttle need a key, and are not mixed with other times', async () => {
  await using app = appOn(database, [invoice])
  const plain = defineJob('plain', { input: z.string(), run: () => {} })
  const given = [
    { debounce: '1s' },
    { throttle: '1s' },
    { debounce: '1s', throttle: '1s', uniqueKey: 'u' },
    { debounce: '1s', delay: '1s', uniqueKey: 'u' },
    { throttle: '1s', runAt: new Date(), uniqueKey: 'u' },
    { delay: '1s', runAt: new Date() },
    { debounce: { window: '1s', latest: '2s' }, uniqueKey: 'u' },
  ]
  for (const options of given) {
    const error: unknown = await app.jobs
      .spawn(plain, 'a', options as never)
      .catch((thrown: unknown) => thrown)
    expect(isTidemarkError(error, 'TIDEMARK_INVALID_OPTION')).toBe(true)
  }
})

test('a child that another spawn has replaced still wakes its parent, and is not cancelled with it', async () => {
  const child = defineJob('child', {
    input: z.string(),
    output: z.string(),
    uniqueKey: () => 'k',
    run: (each) => each.input,
  })
  const parent = defineJob('parent', {
    input: z.enum(['cancel', 'wait']),
    output: z.string(),
    run: (each, ctx) => ctx.child('c', child, 'of the parent', { onCancel: each.input }),
  })
  await using app = appOn(database, [child, parent])
  await app.jobs.pauses.pauseType('child')
  await app.start()
  const first = await app.jobs.spawn(parent, 'cancel')
  const spawned = `select status from tidemark.jobs where name = 'child'`
  await until(database, spawned, 'queued')
  await untilStatus(database, first.id, 'scheduled')
  const replaced = await app.jobs.spawn(child, 'of somebody else', { onDuplicate: 'replace' })
  expect(replaced.outcome).toBe('replaced')
  await app.jobs.pauses.resumeType('child')
  expect(await first.result({ timeout: '10s' })).toBe('of somebody else')

  for (const onCancel of ['cancel', 'wait'] as const) {
    await app.jobs.pauses.pauseType('child')
    const { id } = await app.jobs.spawn(parent, onCancel)
    await until(database, `${spawned} and status = 'queued'`, 'queued')
    await untilStatus(database, id, 'scheduled')
    const other = await app.jobs.spawn(child, onCancel, { onDuplicate: 'replace' })
    expect(other.outcome).toBe('replaced')
    expect(await app.jobs.cancel(id)).toBe('cancelled')
    await app.jobs.pauses.resumeType('child')
    expect(await other.result()).toBe(onCancel)
  }
})

test('jobs that begin to wait for each other at the same instant are told so, and all of them end', async () => {
  const rings = 8
  const size = 3
  const all = Promise.withResolvers<void>()
  let running = 0
  // Each job of a ring waits for the next one, and has that one's key for its child.
  const job: JobDefinition<readonly [number, number], string> = defineJob('ring', {
    input: z.tuple([z.number(), z.number()]).readonly(),
    output: z.string(),
    uniqueKey: ([ring, place]) => `${ring} ${place}`,
    retry: { attempts: 1 },
    run: async ({ input: [ring, place] }, ctx) => {
      running += 1
      if (running === rings * size) all.resolve()
      await all.promise
      return await ctx.child('next', job, [ring, (place + 1) % size])
    },
  })
  await using app = appOn(database, [job])
  const inputs = Array.from({ length: rings * size }, (_, n) => [n % rings, n % size] as const)
  const handles = []
  for (const [ring] of inputs.slice(0, rings)) {
    for (let place = 0; place < size; place++) {
      handles.push({ ring, handle: await app.jobs.spawn(job, [ring, place]) })
    }
  }
  await using _ = await app.start({ jobs: { concurrency: rings * size } })
  const codes = new Map<number, string[]>()
  for (const { ring, handle } of handles) {
    await untilStatus(database, handle.id, 'failed')
    const { error } = await app.jobs.get(handle.id)
    codes.set(ring, [...(codes.get(ring) ?? []), error?.code ?? ''])
  }
  // In each ring one is told, and the others fail with it.
  for (const [ring, found] of codes) {
    expect([ring, found.toSorted()]).toEqual([
      ring,
      ['TIDEMARK_CHILD_CYCLE', 'TIDEMARK_JOB_FAILED', 'TIDEMARK_JOB_FAILED'],
    ])
  }
})

test('a job that would wait for itself, by a child whose key it has, is told so', async () => {
  const job: JobDefinition<string, string> = defineJob('turned', {
    input: z.string(),
    output: z.string(),
    uniqueKey: (text) => text.slice(0, 1),
    retry: { attempts: 1 },
    run: async (each, ctx) => {
      // a waits for itself; b for c, which waits for b.
      const next = { a: 'a again', b: 'c', c: 'b again' }[each.input] ?? ''
      return await ctx.child('next', job, next)
    },
  })
  await using app = appOn(database, [job])
  const itself = await app.jobs.spawn(job, 'a')
  const other = await app.jobs.spawn(job, 'b')
  await app.start()
  await untilStatus(database, itself.id, 'failed')
  await untilStatus(database, other.id, 'failed')
  expect(await app.jobs.get(itself.id)).toMatchObject({ error: { code: 'TIDEMARK_DUPLICATE_JOB' } })
  const [last] = await app.jobs.list({ parent: other.id })
  expect(last).toMatchObject({ input: 'c', error: { code: 'TIDEMARK_CHILD_CYCLE' } })
  // The caller of a child whose key is taken by a stranger waits for that one.
  expect(await app.jobs.list()).toHaveLength(3)
})
