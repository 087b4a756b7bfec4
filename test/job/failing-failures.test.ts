import { defineJob, type JobOptions } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

// The failure path itself may fail: whatever a job throws, and whatever its policy answers, every attempt ends, is
// counted and is described.

const database = useFreshDatabase()
const input = z.object({})
const soon = { attempts: 2, backoff: () => 0 }

const throwing = (): never => {
  throw new Error('it does not let itself be looked at')
}

const thrown: Readonly<Record<string, () => unknown>> = {
  'an error that is its own cause': () => {
    const error = new Error('a')
    error.cause = error
    return error
  },
  nothing: () => undefined,
  'an object without a prototype': () => Object.create(null) as unknown,
  'a proxy that refuses everything': () =>
    new Proxy({}, { get: throwing, has: throwing, getPrototypeOf: throwing, ownKeys: throwing }),
  'an error whose message and stack throw': () =>
    Object.defineProperties(new Error('x'), {
      message: { get: throwing },
      stack: { get: throwing },
    }),
  'an error with characters that Postgres refuses': () =>
    new Error('NUL \0 and half a pair \ud800'),
  'twenty megabytes': () => new Error('x'.repeat(20_000_000)),
  'an error with fields of other types': () =>
    Object.assign(new Error('x'), {
      name: 7,
      code: { a: 1 },
      stack: Symbol('s'),
      cause: 1n,
      errors: 'no',
    }),
  'many errors in one': () =>
    new AggregateError(
      Array.from({ length: 10_000 }, (_, n) => new Error(`${n}`)),
      'many',
    ),
  'a promise that rejects': () => Promise.reject(new Error('nobody waits')),
  'a function': () => throwing,
}

test.for(Object.keys(thrown))(
  'a job that throws %s fails when its attempts are used up',
  async (kind) => {
    const run = (): never => {
      const value = thrown[kind]?.()
      if (value instanceof Promise) value.catch(() => {})
      throw value
    }
    const outside = defineJob('outside', { input, retry: soon, run })
    const inside = defineJob('inside', { input, retry: soon, transact: run })
    await using app = appOn(database, [outside, inside])
    await app.start()
    for (const job of [outside, inside]) {
      const { id } = await app.jobs.spawn(job, {})
      await untilStatus(database, id, 'failed')
      const attempts = await app.jobs.attempts(id)
      expect(attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
        [1, 'retried'],
        [2, 'failed'],
      ])
      const { error } = await app.jobs.get(id)
      expect(typeof error?.message).toBe('string')
      expect(JSON.stringify(error).length).toBeLessThan(100_000)
    }
  },
)

const backoffs: Readonly<Record<string, () => unknown>> = {
  'not a number': () => Number.NaN,
  'less than nothing': () => -5,
  'a text': () => '5s',
  'a promise': () => Promise.reject(new Error('nobody waits')),
  'an error': throwing,
  nothing: () => undefined,
}

test.for(Object.keys(backoffs))(
  'a backoff that answers %s puts the job off all the same',
  async (kind) => {
    const job = defineJob('odd_backoff', {
      input,
      retry: { attempts: 3, backoff: backoffs[kind] as () => number },
      run: () => {
        throw new Error('fails')
      },
    })
    await using app = appOn(database, [job])
    await app.start()
    const { id } = await app.jobs.spawn(job, {})
    const isNegative = kind === 'less than nothing'
    await untilStatus(database, id, isNegative ? 'failed' : 'scheduled')
    const { rows } = await database.query(
      `select extract(epoch from run_at - clock_timestamp())::float8 as delay from tidemark.jobs where id = $1`,
      [id],
    )
    expect(rows[0]?.['delay']).toBeLessThan(60)
    const [first] = await app.jobs.attempts(id)
    expect(first).toMatchObject({ attempt: 1, outcome: 'retried' })
    const notes = first?.error?.notes ?? []
    expect(notes.filter((note) => note.includes('retry.backoff of odd_backoff'))).toHaveLength(
      isNegative ? 0 : 1,
    )
  },
)

test('a backoff of for ever is a year', async () => {
  const job = defineJob('patient', {
    input,
    retry: { backoff: () => Number.POSITIVE_INFINITY },
    run: () => {
      throw new Error('fails')
    },
  })
  await using app = appOn(database, [job])
  await app.start()
  const { id } = await app.jobs.spawn(job, {})
  await untilStatus(database, id, 'scheduled')
  const { rows } = await database.query(
    `select run_at < now() + interval '366 days' and run_at > now() + interval '364 days' as soon from tidemark.jobs where id = $1`,
    [id],
  )
  expect(rows[0]?.['soon']).toBe(true)
})

test('an outcome that the server refuses is written as a plain failure, and the attempt counts', async () => {
  await database.query(`
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.error ->> 'message' = 'unspeakable' then raise exception 'not this'; end if; return new;
    end $$;
    create trigger refuse before update on tidemark.jobs for each row execute function refuse()`)
  const job = defineJob('refused', {
    input,
    retry: soon,
    run: () => {
      throw new Error('unspeakable')
    },
  })
  await using app = appOn(database, [job])
  await app.start()
  const { id } = await app.jobs.spawn(job, {})
  await untilStatus(database, id, 'failed')
  expect(await app.jobs.get(id)).toMatchObject({
    attempt: 1,
    error: { code: 'TIDEMARK_OUTCOME_REFUSED' },
  })
})

test('an output that the server refuses fails its job only, and is not tried again', async () => {
  await database.query(`
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.output::text = '"unspeakable"' then raise exception 'not this'; end if; return new;
    end $$;
    create trigger refuse before update on tidemark.jobs for each row execute function refuse()`)
  let runs = 0
  const options: JobOptions<z.ZodObject<{ say: z.ZodString }>, z.ZodUnknown, z.ZodUndefined> = {
    input: z.object({ say: z.string() }),
    retry: soon,
  }
  const say = ({ input: given }: { input: { say: string } }): string => {
    runs += 1
    return given.say
  }
  const outside = defineJob('outside', { ...options, run: say })
  const inside = defineJob('inside', { ...options, transact: say })
  await using app = appOn(database, [outside, inside])
  for (const job of [outside, inside]) {
    const ids: string[] = []
    for (let n = 0; n < 20; n++) {
      ids.push((await app.jobs.spawn(job, { say: n === 7 ? 'unspeakable' : 'fine' })).id)
    }
    if (job === outside) await app.start()
    for (const [n, id] of ids.entries())
      await untilStatus(database, id, n === 7 ? 'failed' : 'completed')
    expect((await app.jobs.get(ids[7] ?? '')).error).toMatchObject({
      code: 'TIDEMARK_PAYLOAD_NOT_STORABLE',
    })
    expect(await app.jobs.attempts(ids[7] ?? '')).toHaveLength(1)
  }
  expect(runs).toBeGreaterThanOrEqual(40)
})

test('logging and progress never fail a job, whatever it says', async () => {
  const itself: Record<string, unknown> = {}
  itself['itself'] = itself
  const words: unknown[][] = [
    ['hello'],
    [],
    [new Error('only an error')],
    [itself, 'a circle'],
    [
      {
        get a(): never {
          return throwing()
        },
      },
      'an accessor',
    ],
    [null, 'null'],
    [{ big: 5n, at: new Date(0), error: new Error('in a field') }, 'odd values'],
    [{ text: 'NUL \0' }, 'NUL \0 \ud800'],
    [{ a: 1 }, { not: 'a text' }],
    [Object.create(null), Symbol('s')],
  ]
  const talkative = defineJob('talkative', {
    input,
    retry: { attempts: 1 },
    run: (_, ctx) => {
      const log = ctx.log as unknown as Record<'info', (...given: unknown[]) => void>
      for (const given of words) log.info(...given)
      ctx.progress({ circle: itself })
      ctx.progress({
        get share(): never {
          return throwing()
        },
      })
      return 'done'
    },
  })
  const quiet = defineJob('quiet', {
    input,
    retry: { attempts: 1 },
    transact: (_, ctx) => {
      const log = ctx.log as unknown as Record<'info', (...given: unknown[]) => void>
      for (const given of words) log.info(...given)
      return 'done'
    },
  })
  await using app = appOn(database, [talkative, quiet])
  await app.start()
  const handle = await app.jobs.spawn(talkative, {})
  expect(await handle.result()).toBe('done')
  expect(await (await app.jobs.spawn(quiet, {})).result()).toBe('done')
  const lines = await app.jobs.logs(handle.id)
  expect(lines.map(({ message }) => message)).toEqual([
    'hello',
    'undefined',
    'only an error',
    'a circle',
    'an accessor',
    'null',
    'odd values',
    'NUL \u2400 \ufffd',
    '{not: a text}',
    'Symbol(s)',
    expect.stringMatching(/the progress cannot be stored/u),
  ])
})

test('a logger that throws or rejects ends nothing', async () => {
  const broken = {
    debug: throwing,
    info: throwing,
    warn: throwing,
    error: () => Promise.reject(new Error('no disk')),
  }
  const failing = defineJob('failing', {
    input,
    retry: soon,
    run: (_, ctx) => {
      ctx.log.info({}, 'it goes on')
      throw new Error('fails')
    },
  })
  await using app = appOn(database, [failing], { logger: broken })
  await app.start()
  const { id } = await app.jobs.spawn(failing, {})
  await untilStatus(database, id, 'failed')
  expect(await app.jobs.attempts(id)).toHaveLength(2)
})

test('what went wrong when a job failed is in the log', async () => {
  const log = new LogBook()
  const job = defineJob('noted', {
    input,
    retry: { attempts: 2, backoff: () => Number.NaN },
    run: () => {
      throw new Error('fails')
    },
  })
  await using app = appOn(database, [job], { logger: log })
  await app.start()
  const { id } = await app.jobs.spawn(job, {})
  await untilStatus(database, id, 'scheduled')
  expect(log.entries.map(({ message }) => message)).toContain(
    'TIDEMARK_CALLBACK_FAILED: retry.backoff of noted answered NaN, not a number of milliseconds',
  )
})
