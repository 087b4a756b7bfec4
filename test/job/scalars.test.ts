import fc from 'fast-check'
import {
  defineJob,
  defineProjection,
  defineQueue,
  defineSchedule,
  isTidemarkError,
  type SpawnOptions,
} from 'tidemark'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { after, every } from '../../packages/core/src/database/timer.ts'
import { createJobApi } from '../../packages/http/src/index.ts'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const job = defineJob('scalars', { input: z.string(), run: () => {} })

// What types would refuse, as it comes from JavaScript and from JSON.
const badTexts = [
  '',
  '\0',
  'a\0b',
  '\ud800',
  'k'.repeat(1_001),
  'ü'.repeat(501),
  7,
  null,
  {},
] as unknown as readonly string[]
const badPriorities = [
  3e9,
  -3e9,
  1.5,
  Number.NaN,
  Infinity,
  '3',
  'soon',
  2n,
] as unknown as readonly string[]
const badDurations = [
  '1 h',
  '-1s',
  -1,
  Number.NaN,
  Infinity,
  '1e3s',
  '99999999d',
  5n,
  null,
  {},
] as unknown as readonly string[]
const badDates = [
  new Date('soon'),
  new Date(8.64e15),
  new Date(-8.64e15),
  '2026-01-01',
  0,
] as unknown as readonly string[]
const badIds = [
  '',
  'x',
  '{00000000-0000-4000-8000-000000000000}',
  '\0',
  7,
] as unknown as readonly string[]

async function problemOf(work: () => unknown): Promise<unknown> {
  try {
    return await work()
  } catch (error) {
    return error
  }
}

async function expectRefused(what: string, work: () => unknown): Promise<void> {
  const error = await problemOf(work)
  const code = isTidemarkError(error) ? error.code : error
  expect([what, code]).toEqual([
    what,
    expect.stringMatching(/^TIDEMARK_(?:INVALID_OPTION|INVALID_INPUT|UNKNOWN_JOB)$/u),
  ])
}

const badOptions: readonly SpawnOptions[] = [
  ...['uniqueKey', 'concurrencyKey', 'queue', 'triggeredBy'].flatMap((option) =>
    badTexts.filter((text: unknown) => text !== null).map((text) => ({ [option]: text })),
  ),
  ...badPriorities.map((priority) => ({ priority })),
  ...badDurations.filter((delay: unknown) => delay !== null).map((delay) => ({ delay })),
  ...badDates.map((runAt) => ({ runAt })),
  ...badIds.map((id) => ({ id })),
  { onDuplicate: 'ignore' },
] as never

test('nothing that cannot work is sent: the transaction of the caller goes on', async () => {
  await using app = appOn(database, [job])
  await app.transaction(async ({ spawn }) => {
    for (const options of badOptions) {
      await expectRefused(JSON.stringify(String(Object.entries(options))), () =>
        spawn(job, 'a', options),
      )
    }
    await spawn(job, 'good', { uniqueKey: 'good' })
  })
  expect(await app.jobs.list()).toHaveLength(1)
})

test('a key that a definition makes is checked, whatever its function does', async () => {
  const makers: readonly (() => unknown)[] = [
    ...badTexts.filter((text: unknown) => text !== null).map((text) => () => text),
    () => {
      throw new Error('as told')
    },
    async () => {
      throw new Error('nobody waits for it')
    },
  ]
  await using app = appOn(database, [])
  for (const [index, make] of makers.entries()) {
    for (const option of ['uniqueKey', 'concurrencyKey']) {
      const keyed = defineJob(`keyed_${index}_${option}`, {
        input: z.string(),
        [option]: make,
        run: () => {},
      })
      await expectRefused(`${option} ${index}`, () => app.jobs.spawn(keyed, 'a'))
    }
  }
  const none = defineJob('keyless', {
    input: z.string(),
    uniqueKey: () => undefined,
    concurrencyKey: () => undefined,
    run: () => {},
  })
  await app.jobs.spawn(none, 'a')
  expect((await app.jobs.spawn(none, 'b')).outcome).toBe('spawned')
})

test('looking and steering refuse what no job can have', async () => {
  await using app = appOn(database, [job])
  const { jobs } = app
  const { id } = await jobs.spawn(job, 'a')
  for (const bad of badIds) {
    await expectRefused(`get ${bad}`, () => jobs.get(bad))
    await expectRefused(`handle ${bad}`, () => jobs.handle(bad))
    await expectRefused(`cancel ${bad}`, () => jobs.cancel(bad))
    await expectRefused(`attempts ${bad}`, () => jobs.attempts(bad))
    await expectRefused(`steps ${bad}`, () => jobs.steps(bad))
    await expectRefused(`logs ${bad}`, () => jobs.logs(bad))
    await expectRefused(`trace ${bad}`, () => jobs.trace(bad))
    await expectRefused(`list after ${bad}`, () => jobs.list({ after: bad }))
    await expectRefused(`list parent ${bad}`, () => jobs.list({ parent: bad }))
  }
  for (const bad of badTexts) {
    for (const option of ['name', 'queue', 'uniqueKey', 'concurrencyKey', 'status']) {
      await expectRefused(`list ${option} ${bad}`, () =>
        jobs.list({ [option]: (bad as unknown) ?? 7 }),
      )
    }
    await expectRefused(`lock ${bad}`, () => jobs.withLock(bad, {}, async () => {}))
    await expectRefused(`retry ${bad}`, () => jobs.retry(id, { triggeredBy: bad }))
    await expectRefused(`prune ${bad}`, () => jobs.prune({ name: bad, olderThan: 1 }))
  }
  for (const bad of badPriorities) {
    await expectRefused(`reprioritise ${bad}`, () => jobs.reprioritise(id, bad as 'low'))
  }
  for (const bad of badDates) {
    await expectRefused(`since ${bad}`, () => jobs.list({ since: bad as never }))
  }
  for (const bad of [...badDurations, 0, 50]) {
    const ttl = (bad as unknown) ?? 'null'
    await expectRefused(`ttl ${bad}`, () =>
      jobs.withLock('k', { ttl: ttl as '1s' }, async () => {}),
    )
  }
  await jobs.reprioritise(id, 'urgent')
  expect(await jobs.get(id)).toMatchObject({ priority: -100, status: 'queued' })
})

test('a definition says at once what cannot work', async () => {
  const defined = (options: object) => () =>
    defineJob('bad', { input: z.string(), run: () => {}, ...options })
  for (const value of badPriorities) {
    await expectRefused(`priority ${value}`, defined({ priority: value }))
    await expectRefused(`concurrency ${value}`, defined({ concurrency: value }))
    await expectRefused(`attempts ${value}`, defined({ retry: { attempts: value } }))
    await expectRefused(`rate ${value}`, defined({ limit: { rate: { limit: value, per: 1 } } }))
    await expectRefused(`retention ${value}`, defined({ retention: { count: value } }))
  }
  for (const value of badDurations) {
    if ((value as unknown) !== null)
      await expectRefused(`timeout ${value}`, defined({ timeout: value }))
    await expectRefused(`per ${value}`, defined({ limit: { rate: { limit: 1, per: value } } }))
  }
  // Elsewhere it means "none"; here each attempt would be too late.
  await expectRefused('timeout 0', defined({ timeout: 0 }))
  for (const value of badTexts) {
    if ((value as unknown) !== null)
      await expectRefused(`queue ${value}`, defined({ queue: value }))
    await expectRefused(`alias ${value}`, defined({ aliases: [value] }))
    await expectRefused(`name ${value}`, () => defineQueue(value, { concurrency: 1 }))
    await expectRefused(`schedule ${value}`, () =>
      defineSchedule(value, { cron: '@daily', job, input: 'a' }),
    )
  }
  for (const value of [null, 5n, 'text', Symbol('s'), {}, Object.create(null) as unknown]) {
    const what = typeof value
    for (const option of ['run', 'uniqueKey', 'concurrencyKey', 'aliases', 'lifecycle']) {
      await expectRefused(`${option} ${what}`, defined({ [option]: value }))
    }
    await expectRefused(
      `rate key ${what}`,
      defined({ limit: { rate: { limit: 1, per: 1, key: value } } }),
    )
    await expectRefused(`version ${what}`, defined({ version: value }))
  }
})

test('what is no options, no selection and no type of job at all is refused as well', async () => {
  await using app = appOn(database, [job])
  const { jobs } = app
  const { id } = await jobs.spawn(job, 'a')
  for (const value of [null, 5n, 'text', Symbol('s'), [], () => 1]) {
    const given = value as never
    const what = typeof value
    await expectRefused(`list ${what}`, () => jobs.list(given))
    await expectRefused(`logs ${what}`, () => jobs.logs(id, given))
    await expectRefused(`trace ${what}`, () => jobs.trace(id, given))
    await expectRefused(`prune ${what}`, () => jobs.prune(given))
    await expectRefused(`retry ${what}`, () => jobs.retry(id, given))
    await expectRefused(`bulk ${what}`, () => jobs.bulk.delete(given))
    await expectRefused(`bulk retry ${what}`, () => jobs.bulk.retry({ name: 'none' }, given))
    await expectRefused(`put ${what}`, () => jobs.schedules.put('s', given))
    await expectRefused(`limit ${what}`, () => jobs.list({ limit: given }))
    if (typeof value !== 'bigint') {
      await expectRefused(`line ${what}`, () => jobs.logs(id, { after: given }))
    }
    if (typeof value !== 'string' && typeof value !== 'function') {
      await expectRefused(`job ${what}`, () => jobs.spawn(given, 'a'))
    }
  }
  for (const line of [-1n, 2n ** 63n, Number.NaN, 0.5]) {
    await expectRefused(`line ${line}`, () => jobs.logs(id, { after: line as bigint }))
  }
})

test('the HTTP API answers 4xx to all of it', async () => {
  await using app = appOn(database, [job])
  const api = createJobApi(app, { authorize: () => true })
  const { id } = await app.jobs.spawn(job, 'a')
  const ask = (method: string, path: string, body?: object): Promise<Response> =>
    api(
      new Request(`http://localhost${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    )
  for (const options of badOptions) {
    const body = JSON.stringify({ input: 'a', ...options }, (_key, value: unknown) =>
      typeof value === 'bigint' ? 'a bigint' : value,
    )
    // NaN and infinity are null in JSON, which is "not given" nowhere either.
    const { status } = await ask('POST', '/types/scalars/jobs', JSON.parse(body) as object)
    expect([body, status]).toEqual([body, expect.toSatisfy((n: number) => n >= 400 && n < 500)])
  }
  for (const query of [
    'name=%00',
    'queue=a%00',
    `uniqueKey=${'k'.repeat(2000)}`,
    'since=0000-01-01T00:00:00Z',
    'after=x',
    'limit=3000000000',
  ]) {
    expect([query, (await ask('GET', `/jobs?${query}`)).status]).toEqual([query, 400])
  }
  expect((await ask('PATCH', `/jobs/${id}`, { priority: 3e9 })).status).toBe(400)
  expect((await ask('GET', '/jobs/not-an-id')).status).toBe(404)
  expect((await ask('POST', '/types/%00/jobs', { input: 'a' })).status).toBe(404)
})

test('any text either is a key, or is refused before anything is sent', async () => {
  await using app = appOn(database, [job])
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.string({ unit: 'binary', maxLength: 1_200 }), fc.string({ unit: 'grapheme' })),
      fc.constantFrom('uniqueKey', 'concurrencyKey', 'queue', 'triggeredBy'),
      async (text, option) => {
        const error = await problemOf(() => app.jobs.spawn(job, 'a', { [option]: text }))
        const refused = isTidemarkError(error, 'TIDEMARK_INVALID_OPTION')
        expect(refused || !(error instanceof Error)).toBe(true)
      },
    ),
    { numRuns: 200 },
  )
})

test('a job with a time limit of a month is not cut off', async () => {
  const latch = new Latch()
  const long = defineJob('month', {
    input: z.string(),
    timeout: '30d',
    run: (_job, { signal }) => Promise.race([latch.pass(), aborted(signal)]),
  })
  const longInTransaction = defineJob('month_transact', {
    input: z.string(),
    timeout: '30d',
    transact: (_job, { signal }) => Promise.race([latch.opened, aborted(signal)]),
  })
  await using app = appOn(database, [long, longInTransaction])
  await app.jobs.spawn(long, 'a')
  await app.jobs.spawn(longInTransaction, 'a')
  await app.start()
  await latch.reached
  await until(database, `select count(*)::int from tidemark.jobs where status = 'running'`, 2)
  const done = await app.jobs.withLock('k', { ttl: '90d' }, async () => latch.open())
  expect(done.held).toBe(true)
  await until(database, `select count(*)::int from tidemark.jobs where status = 'completed'`, 2)
  expect(await app.jobs.list({ status: 'completed' })).toMatchObject([
    { attempt: 1 },
    { attempt: 1 },
  ])
})

test('nor is an inline projection with one', async () => {
  await database.query('create table months (aborted boolean)')
  const months = defineProjection('months', {
    version: 1,
    mode: 'inline',
    tables: ['months'],
    handlerTimeout: '30d',
  }).on(noted, async (_, { tx, signal }) => {
    await tx.query('select pg_sleep(0.02)')
    await tx.query('insert into months values ($1)', [signal.aborted])
  })
  await using app = appOn(database, [months])
  await app.publish(noted({ note: 'soon' }))
  const { rows } = await database.query('select aborted from months')
  expect(rows).toEqual([{ aborted: false }])
})

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

describe('timers', () => {
  beforeEach(() => {
    vi.useFakeTimers()
    return () => void vi.useRealTimers()
  })

  const day = 86_400_000

  test('wait for any length of time, once', () => {
    for (const days of [1, 24, 25, 60, 1_000]) {
      const rang = vi.fn<() => void>()
      after(days * day, rang)
      vi.advanceTimersByTime(days * day - 1)
      expect([days, rang.mock.calls.length]).toEqual([days, 0])
      vi.advanceTimersByTime(1)
      expect([days, rang.mock.calls.length]).toEqual([days, 1])
      vi.advanceTimersByTime(2_000 * day)
      expect([days, rang.mock.calls.length]).toEqual([days, 1])
    }
  })

  test('are stopped, begun anew, and repeated', () => {
    const rang = vi.fn<() => void>()
    const timer = after(60 * day, rang)
    vi.advanceTimersByTime(59 * day)
    timer.refresh()
    vi.advanceTimersByTime(59 * day)
    expect(rang).not.toHaveBeenCalled()
    timer.clear()
    vi.advanceTimersByTime(59 * day)
    expect(rang).not.toHaveBeenCalled()
    const repeated = every(30 * day, rang)
    vi.advanceTimersByTime(95 * day)
    expect(rang).toHaveBeenCalledTimes(3)
    repeated.clear()
    vi.advanceTimersByTime(95 * day)
    expect(rang).toHaveBeenCalledTimes(3)
    const never = after(Infinity, rang)
    vi.advanceTimersByTime(1_000 * day)
    never.clear()
    expect(rang).toHaveBeenCalledTimes(3)
  })
})
