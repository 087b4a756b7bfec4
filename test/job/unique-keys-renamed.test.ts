import { defineJob, defineSchedule, type App, type SpawnOptions } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const input = z.object({ text: z.string() })
const options = { input, uniqueKey: () => 'k', run: () => {} }
/** A type before it was renamed, as an older release still has it, and after. */
const mailing = defineJob('mailing', options)
const newsletter = defineJob('newsletter', { ...options, aliases: ['mailing'] })
const later = { delay: '1h' } as const
const unfinished = `select count(*)::int from tidemark.jobs where status not in ('completed', 'cancelled')`
const anotherWaits = `select count(*)::int from pg_stat_activity
  where datname = current_database() and wait_event_type = 'Lock'`

/** An application of the new release that has been started, and one of the old release. */
async function bothReleases(): Promise<{ old: App; app: App } & AsyncDisposable> {
  const app = appOn(database, [newsletter])
  await app.start()
  const old = appOn(database, [mailing])
  return {
    app,
    old,
    [Symbol.asyncDispose]: async () => {
      await old.close()
      await app.close()
    },
  }
}

test('an older release that does not know a new name keeps, refuses and replaces the job that has the key', async () => {
  await using releases = await bothReleases()
  const { old, app } = releases
  const { id } = await app.jobs.spawn(newsletter, { text: 'new' }, later)
  const spawn = async (given: SpawnOptions): Promise<unknown[]> => {
    const text = JSON.stringify(given)
    const spawned = await old.transaction(async (tx) => {
      await tx.query(`insert into effects (listener, sequence) values ($1, 1)`, [text])
      return tx.spawn(mailing, { text }, given)
    })
    const { rows } = await database.query('select name, input from tidemark.jobs')
    return [spawned.result.id, spawned.result.outcome, rows]
  }
  const asOld = (given: SpawnOptions): unknown => [
    { name: 'mailing', input: { text: JSON.stringify(given) } },
  ]

  expect(await spawn({})).toEqual([id, 'kept', [{ name: 'newsletter', input: { text: 'new' } }]])
  await expect(old.jobs.spawn(mailing, { text: 'a' }, { onDuplicate: 'fail' })).rejects.toThrow(
    /TIDEMARK_DUPLICATE_JOB/u,
  )
  for (const given of [
    { onDuplicate: 'replace', delay: '1h' },
    { debounce: '1h' },
    { throttle: '1h' },
  ] as const) {
    expect(await spawn(given)).toEqual([id, 'replaced', asOld(given)])
    const back = await app.jobs.spawn(
      newsletter,
      { text: 'new' },
      { ...later, onDuplicate: 'replace' },
    )
    expect([back.id, back.outcome]).toEqual([id, 'replaced'])
  }
  const { rows } = await database.query(
    `select tidemark.spawn('mailing', '{"text":"sql"}', unique_key => 'k') as id`,
  )
  expect(rows).toEqual([{ id }])
  await until(database, unfinished, 1)
  await until(database, 'select count(*)::int from effects', 4)
})

test('what an older release lets follow a job that has begun is the one that follows it', async () => {
  const latch = new Latch()
  const slow = defineJob('newsletter', {
    ...options,
    aliases: ['mailing'],
    run: () => latch.pass(),
  })
  await using app = appOn(database, [slow])
  await using old = appOn(database, [mailing])
  await app.start()
  const first = await app.jobs.spawn(slow, { text: 'a' })
  await latch.reached
  const replace = { onDuplicate: 'replace' } as const
  const second = await app.jobs.spawn(slow, { text: 'b' }, replace)
  const third = await old.jobs.spawn(mailing, { text: 'c' }, replace)
  const fourth = await app.jobs.spawn(slow, { text: 'd' }, replace)
  expect([second.outcome, third.outcome, fourth.outcome]).toEqual(['follows', 'follows', 'follows'])
  expect([third.id, fourth.id]).toEqual([second.id, second.id])
  latch.open()
  expect(await second.result()).toBeUndefined()
  expect(await app.jobs.get(second.id)).toMatchObject({ input: { text: 'd' } })
  expect(second.id).not.toBe(first.id)
})

test.each(['commits', 'rolls back'] as const)(
  'of two transactions that spawn under both names at once one waits for the other, which %s',
  async (how) => {
    await using releases = await bothReleases()
    const { old, app } = releases
    for (const second of ['library', 'SQL'] as const) {
      const latch = new Latch()
      let id = ''
      const first = app
        .transaction(async ({ spawn }) => {
          id = (await spawn(newsletter, { text: 'first' }, later)).id
          await latch.pass()
          if (how === 'rolls back') throw new Error('as told')
        })
        .catch((error: unknown) => error)
      await latch.reached
      const other =
        second === 'library'
          ? old.jobs.spawn(mailing, { text: 'second' }, later).then((spawned) => spawned.id)
          : database
              .query<{ id: string }>(
                `select tidemark.spawn('mailing', '{"text":"second"}', now() + interval '1h', unique_key => 'k') as id`,
              )
              .then(({ rows }) => rows[0]?.id ?? '')
      await until(database, anotherWaits, 1)
      latch.open()
      await first
      expect((await other) === id).toBe(how === 'commits')
      await until(database, unfinished, 1)
      await database.query('delete from tidemark.jobs')
    }
  },
)

test('many spawns under both names at once make one job, whatever the policy', async () => {
  await using releases = await bothReleases()
  const { old, app } = releases
  for (let round = 0; round < 20; round++) {
    const onDuplicate = round % 2 === 0 ? 'keep' : 'replace'
    const given = { ...later, onDuplicate, uniqueKey: `round ${round}` } as const
    const spawned = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        n % 2 === 0
          ? app.jobs.spawn(newsletter, { text: `new ${n}` }, given)
          : old.jobs.spawn(mailing, { text: `old ${n}` }, given),
      ),
    )
    expect(new Set(spawned.map(({ id }) => id)).size).toBe(1)
    expect(spawned.filter(({ duplicate }) => !duplicate)).toHaveLength(1)
  }
  await until(database, unfinished, 20)
  await until(database, 'select count(*)::int from tidemark.job_key_takers', 0)
})

test('a job that is given another name is found under one of them by who looks meanwhile', async () => {
  await using releases = await bothReleases()
  const { old, app } = releases
  const { id } = await app.jobs.spawn(newsletter, { text: 'new' }, later)
  const latch = new Latch()
  const replacing = old.transaction(async ({ spawn }) => {
    await spawn(mailing, { text: 'old' }, { ...later, onDuplicate: 'replace' })
    await latch.pass()
  })
  await latch.reached
  const other = app.jobs.spawn(newsletter, { text: 'newer' }, later)
  await until(database, anotherWaits, 1)
  latch.open()
  await replacing
  expect((await other).id).toBe(id)
  await until(database, unfinished, 1)
})

test('where two jobs have a key from before their names were known to be of one type, nothing is aborted', async () => {
  await using old = appOn(database, [mailing])
  await old.jobs.spawn(mailing, { text: 'old' }, later)
  await database.query(
    `select tidemark.spawn('newsletter', '{"text":"new"}', now() + interval '1h', unique_key => 'k')`,
  )
  await using app = appOn(database, [newsletter])
  await app.start()
  const replace = { ...later, onDuplicate: 'replace' } as const
  const replaced = await app.jobs.spawn(newsletter, { text: 'newer' }, replace)
  expect(replaced.outcome).toBe('replaced')
  expect(await app.jobs.get(replaced.id)).toMatchObject({
    name: 'newsletter',
    input: { text: 'newer' },
  })
  await until(database, unfinished, 2)
})

test('a tick that an older release fires keeps the job that has the key under the new name', async () => {
  const everySecond = defineSchedule('digest', {
    cron: '* * * * * *',
    timeZone: 'UTC',
    job: mailing,
    input: () => ({ text: 'tick' }),
  })
  await using app = appOn(database, [newsletter])
  await app.start()
  await using old = appOn(database, [mailing, everySecond])
  const { id } = await app.jobs.spawn(newsletter, { text: 'new' }, later)
  await old.start()
  await until(
    database,
    `select count(*) > 0 from tidemark.schedule_ticks where outcome = 'fired' and job = $1`,
    true,
    [id],
  )
  expect((await old.jobs.schedules.run('digest')).id).toBe(id)
  await until(database, 'select count(*)::int from tidemark.jobs', 1)
})

test('a job is not run again while one under another name has its key', async () => {
  await using releases = await bothReleases()
  const { old, app } = releases
  const first = await old.jobs.spawn(mailing, { text: 'a' }, later)
  await old.jobs.cancel(first.id)
  const second = await app.jobs.spawn(newsletter, { text: 'b' }, later)
  expect(second.outcome).toBe('spawned')
  await expect(old.jobs.retry(first.id)).rejects.toThrow(/TIDEMARK_JOB_STATUS/u)
  expect(await app.jobs.bulk.retry({ status: 'cancelled' })).toEqual({
    done: 0,
    asked: 0,
    refused: 1,
  })
  await app.jobs.cancel(second.id)
  expect(await old.jobs.retry(first.id)).toBe('queued')
})

test('a transaction that takes many keys holds no lock for each of them', async () => {
  await using releases = await bothReleases()
  const { result } = await releases.app.transaction(async ({ query }) => {
    await query(`select tidemark.spawn('newsletter', '{"text":"a"}', now() + interval '1h', unique_key => 'k' || n)
      from generate_series(1, 1000) n`)
    return query('select count(*)::int as locks from pg_locks where pid = pg_backend_pid()')
  })
  await until(database, unfinished, 1000)
  expect(result.rows[0]?.['locks']).toBeLessThan(100)
})
