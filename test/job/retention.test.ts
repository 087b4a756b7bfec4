import { defineJob } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const tidy = { handleSignals: false, maintenanceInterval: 100 }

async function inputs(name: string): Promise<number[]> {
  const { rows } = await database.query<{ n: number }>(
    `select (input #>> '{}')::int as n from tidemark.jobs where name = $1 order by 1`,
    [name],
  )
  return rows.map(({ n }) => n)
}

test('finished jobs are deleted by the age and the count of their type; failed and unfinished ones stay', async () => {
  const types = {
    aged: { age: '1h' },
    counted: { count: 3 },
    failing: { age: '1h', count: 0 },
    kept: undefined,
  } as const
  const jobs = Object.entries(types).map(([name, retention]) =>
    defineJob(name, {
      input: z.number(),
      retry: { attempts: 1 },
      ...(retention === undefined ? {} : { retention }),
      run: () => {
        if (name === 'failing') throw new Error('as told')
      },
    }),
  )
  await using app = appOn(database, jobs)
  await using runner = await app.start({ handleSignals: false })
  await app.transaction(async ({ spawn }) => {
    for (const { name } of jobs) for (let n = 0; n < 6; n++) await spawn(name, n)
  })
  await until(
    database,
    `select count(*)::int from tidemark.jobs where status not in ('completed', 'failed')`,
    0,
  )
  await app.jobs.spawn('counted', 100, { delay: '1h' })
  await runner.stop()
  await database.query(
    `update tidemark.jobs set finished_at = finished_at - interval '2 h'
     where name in ('aged', 'failing') and (input #>> '{}')::int < 4`,
  )
  await app.start(tidy)
  await until(database, `select count(*)::int from tidemark.jobs`, 2 + 4 + 6 + 6)
  expect(await inputs('aged')).toEqual([4, 5])
  expect(await inputs('counted')).toEqual([3, 4, 5, 100])
})

test('a failed job is deleted only where its definition says so, and what belongs to a job goes with it', async () => {
  const failing = defineJob('failing', {
    input: z.number(),
    retry: { attempts: 1 },
    run: async (_, ctx) => {
      await ctx.step('one', () => 1)
      ctx.log.info({}, 'here')
      throw new Error('as told')
    },
  })
  await using app = appOn(database, [failing])
  const runner = await app.start({ handleSignals: false })
  await app.jobs.spawn(failing, 1)
  await until(database, `select count(*)::int from tidemark.jobs where status = 'failed'`, 1)
  await runner.stop()
  await app.start({ ...tidy, jobs: { retention: { age: 0, count: 0, failed: 0 } } })
  await until(database, 'select count(*)::int from tidemark.jobs', 0)
  for (const table of ['job_steps', 'job_attempts', 'job_logs']) {
    const { rows } = await database.query(`select count(*)::int as n from tidemark.${table}`)
    expect(rows).toEqual([{ n: 0 }])
  }
})

test('two processes that tidy at once keep as many as the count says, over many pages', async () => {
  const counted = defineJob('counted', {
    input: z.number(),
    retention: { count: 100 },
    run: () => {},
  })
  await database.query(
    `insert into tidemark.jobs (id, name, input, status, finished_at)
     select (lpad(to_hex(1700000000000 + n), 12, '0') || '7000' || '8' || lpad(to_hex(n), 15, '0'))::uuid, 'counted',
       to_jsonb(n), 'completed', now() from generate_series(1, 9000) n`,
  )
  await using one = appOn(database, [counted])
  await using two = appOn(database, [counted])
  await one.start(tidy)
  await two.start(tidy)
  await until(database, 'select count(*)::int from tidemark.jobs', 100)
  expect((await inputs('counted'))[0]).toBe(8901)
})

test('the result of a child is kept for its parent', async () => {
  const child = defineJob('child', { input: z.number(), retention: { age: 0 }, run: () => 'grown' })
  const parent = defineJob('parent', {
    input: z.number(),
    run: async (_, ctx) => {
      await ctx.child('one', child, 1)
      await ctx.sleep('nap', '1h')
    },
  })
  await using app = appOn(database, [parent, child])
  await app.start(tidy)
  const handle = await app.jobs.spawn(parent, 1)
  await until(
    database,
    `select count(*)::int from tidemark.jobs where name = 'child' and status = 'completed'`,
    1,
  )
  await until(
    database,
    `select count(*)::int from tidemark.job_steps where step = 'one' and completed_at is not null`,
    1,
  )
  await app.jobs.cancel(handle.id)
  await until(database, `select count(*)::int from tidemark.jobs where name = 'child'`, 0)
  expect(await inputs('parent')).toEqual([1])
})

test('old ticks but the last, locks that nobody has held for long and idle rates are forgotten', async () => {
  await using app = appOn(database, [defineJob('any', { input: z.number(), run: () => {} })])
  const tokens: bigint[] = []
  const lock = () =>
    app.jobs.withLock('l', { ttl: '5s' }, async ({ token }) => {
      tokens.push(token)
    })
  await lock()
  await lock()
  await database.query(`update tidemark.locks set held_until = now() - interval '8 days'`)
  await database.query(
    `insert into tidemark.schedules (name, job, cron, time_zone, overlap, catch_up, next_at)
     values ('s', 'any', '* * * * *', 'UTC', 'skip', 'last', now() + interval '1 day')`,
  )
  await database.query(
    `insert into tidemark.schedule_ticks (schedule, tick, outcome, recorded_at)
     select 's', now() - n * interval '1 day', 'fired', now() - n * interval '1 day' from generate_series(40, 50) n`,
  )
  await database.query(
    `insert into tidemark.job_rates (kind, name, key) values ('type', 'any', 'k')`,
  )
  await app.start(tidy)
  await until(database, 'select count(*)::int from tidemark.schedule_ticks', 1)
  await until(database, 'select count(*)::int from tidemark.locks', 0)
  await until(database, 'select count(*)::int from tidemark.job_rates', 0)
  await lock()
  expect(tokens).toEqual(tokens.toSorted((a, b) => Number(a - b)))
  expect(new Set(tokens).size).toBe(3)
})

test('the jobs that ended last are kept, whatever their ids say', async () => {
  const kept = defineJob('kept', { input: z.number(), retention: { count: 2 }, run: () => {} })
  await using app = appOn(database, [kept])
  // As of an Idempotency-Key: the ids are hashes, and in the opposite order of the times.
  for (let n = 0; n < 6; n++) {
    const id = `${'fedcba'[n]}0000000-0000-8000-8000-000000000000`
    await app.jobs.spawn(kept, n, { id })
    await database.query(
      `update tidemark.jobs set status = 'completed', finished_at = now() - interval '1 hour' + $2 * interval '1 s'
       where id = $1`,
      [id, n],
    )
  }
  await app.start({ maintenanceInterval: 100 })
  await until(database, 'select count(*)::int from tidemark.jobs', 2)
  const left = (await app.jobs.list()).map(({ input }) => String(input))
  expect(new Set(left)).toEqual(new Set(['4', '5']))
})

test('a job that another waits for is spared by every way of deleting, whoever spawned it', async () => {
  const shared = defineJob('shared', {
    input: z.number(),
    uniqueKey: () => 'one',
    retention: { age: 0 },
    run: () => {},
  })
  const waiting = defineJob('waiting', {
    input: z.number(),
    run: (_, ctx) => ctx.child('theirs', shared, 1),
  })
  await using app = appOn(database, [shared, waiting])
  const { id } = await app.jobs.spawn(shared, 1, { delay: '1h' })
  const runner = await app.start({ handleSignals: false })
  await app.jobs.spawn(waiting, 1)
  await until(database, 'select count(*)::int from tidemark.job_waits', 1)
  await runner.stop()
  // Ended, and nobody has woken the one that waits.
  await database.query(
    `update tidemark.jobs set status = 'completed', finished_at = now() - interval '1 day' where id = $1`,
    [id],
  )
  await expect(app.jobs.delete(id)).rejects.toMatchObject({ code: 'TIDEMARK_JOB_STATUS' })
  expect(await app.jobs.prune({ name: 'shared', olderThan: 0 })).toBe(0)
  expect(await app.jobs.bulk.delete({ name: 'shared' })).toMatchObject({ done: 0 })
  // Nor while it runs, however long it has not waited.
  await database.query(`update tidemark.jobs set status = 'running' where name = 'waiting'`)
  await database.query('delete from tidemark.job_waits')
  expect(await app.jobs.prune({ name: 'shared', olderThan: 0 })).toBe(0)
  await database.query(`update tidemark.jobs set status = 'cancelled' where name = 'waiting'`)
  expect(await app.jobs.prune({ name: 'shared', olderThan: 0 })).toBe(1)
})
