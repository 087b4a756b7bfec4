import { randomUUID } from 'node:crypto'
import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { armedProcesses, asleep } from '../support/doorbells.ts'
import { noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { WorkerProcess } from '../support/worker-process.ts'

const database = useFreshDatabase()

test('a standby without leases does not make publishers ring for it, until it takes over', async () => {
  await using owning = appOn(database, [recorder('ledger')])
  const owner = await owning.start()
  await asleep(database)
  await using waiting = appOn(database, [recorder('ledger')])
  const standby = await waiting.start({ acquireInterval: 50 })
  // The standby hears by now: nothing but its lack of leases keeps it from arming.
  await expect
    .poll(
      async () =>
        (
          await database.query(
            `select from pg_stat_activity where application_name = $1 and query ilike '%notify%'`,
            [`tidemark doorbell ${standby.id}`],
          )
        ).rowCount,
      { timeout: 10_000 },
    )
    .toBe(1)
  for (let n = 0; n < 10; n++) {
    const { sequence } = await owning.publish(noted({ note: `for the owner ${n}` }))
    await owning.waitFor('ledger', sequence)
    await asleep(database)
  }
  const { rows } = await database.query('select process from tidemark.doorbells')
  expect(rows).toEqual([{ process: owner.id }])
  expect(standby.partitions).toEqual([])

  await owner.stop()
  await expect.poll(() => standby.partitions, { timeout: 10_000 }).toEqual(['ledger#0'])
  await expect.poll(() => armedProcesses(database), { timeout: 10_000 }).toEqual([standby.id])
})

test('the doorbell of a process that is killed costs a ring, and is swept when it is known to be dead', async () => {
  {
    await using worker = await WorkerProcess.start({
      url: database.url,
      name: 'dies armed',
      leaseDuration: 500,
    })
    await asleep(database)
    await worker.kill('SIGKILL')
  }
  const [dead] = await armedProcesses(database)
  expect(dead).toBeDefined()
  // It has been silent for long enough to be declared dead.
  await database.query(
    `update tidemark.processes set heartbeat_at = clock_timestamp() - interval '1 hour' where id = $1`,
    [dead],
  )
  await using app = appOn(database, [recorder('other')])
  const runner = await app.start()
  await expect.poll(() => armedProcesses(database), { timeout: 10_000 }).toEqual([runner.id])
  const { rows } = await database.query('select id from tidemark.processes')
  expect(rows).toEqual([{ id: runner.id }])
})

test('a doorbell row without a process is swept at the start of another', async () => {
  await database.query('insert into tidemark.doorbells (process, armed) values ($1, true)', [
    randomUUID(),
  ])
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  await expect.poll(() => armedProcesses(database), { timeout: 10_000 }).toEqual([runner.id])
})

test('a process that was taken for dead says what it runs once more, and has others ring for it again', async () => {
  const nothing = defineJob('nothing', { input: z.object({}), run: () => {} })
  await using app = appOn(database, [recorder('ledger'), nothing])
  const runner = await app.start({ leaseDuration: 1_000 })
  await asleep(database)
  const armedForJobs = async (): Promise<unknown[]> =>
    (await database.query('select process from tidemark.job_doorbells where armed')).rows
  await expect.poll(armedForJobs, { timeout: 10_000 }).toEqual([{ process: runner.id }])
  const known = 'select id, definitions from tidemark.processes'
  const { rows: before } = await database.query(known)
  // As maintenance of the others does.
  for (const table of ['processes', 'doorbells', 'job_doorbells']) {
    await database.query(`delete from tidemark.${table}`)
  }
  await expect.poll(() => armedProcesses(database), { timeout: 10_000 }).toEqual([runner.id])
  await expect.poll(armedForJobs, { timeout: 10_000 }).toEqual([{ process: runner.id }])
  expect((await database.query(known)).rows).toEqual(before)
})

test('a process that sleeps locks no row of its doorbell', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ leaseDuration: 1_000, doorbell: { safetyPoll: 20 } })
  await asleep(database)
  const row = async (): Promise<unknown> =>
    (await database.query('select xmin, xmax, ctid from tidemark.doorbells')).rows
  const before = await row()
  const beats = new Set<number>()
  const beat = 'select extract(epoch from heartbeat_at)::float8 as at from tidemark.processes'
  // Meanwhile it looks more than twenty times.
  await expect
    .poll(
      async () => beats.add((await database.query<{ at: number }>(beat)).rows[0]?.at ?? 0).size,
      {
        timeout: 15_000,
      },
    )
    .toBe(4)
  expect(await row()).toEqual(before)
})

test('publishers stop ringing for a process that is woken too often, and ring again when the rush is over', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { maxWakeUps: 20 } })
  await asleep(database)
  const rush = new AbortController()
  const publishing = (async () => {
    let n = 0
    while (!rush.signal.aborted) await app.publish(noted({ note: `rush ${n++}` }))
    return n
  })()
  try {
    // Armed or not changes with every sleep; for as long as the rush lasts it is off for good.
    await expect
      .poll(
        async () => {
          const looks: number[] = []
          for (let n = 0; n < 20; n++) looks.push((await armedProcesses(database)).length)
          return looks.every((armed) => armed === 0)
        },
        { timeout: 10_000, interval: 10 },
      )
      .toBe(true)
  } finally {
    rush.abort()
  }
  expect(await publishing).toBeGreaterThan(0)
  await asleep(database)
})

test('publishers ring while any process is armed, whoever else arms, disarms or gives up meanwhile', async () => {
  const ringing = async (): Promise<boolean> => {
    const { rows } = await database.query<{ last_value: string }>(
      'select last_value from tidemark.armed',
    )
    return rows[0]?.last_value === '1'
  }
  const [one, other] = [randomUUID(), randomUUID()]
  const arm = `insert into tidemark.doorbells (process, armed) values ($1, $2)
    on conflict (process) do update set armed = excluded.armed`
  expect(await ringing()).toBe(false)
  await database.query(arm, [one, true])
  expect(await ringing()).toBe(true)

  // One disarms while the other, who has not committed, arms.
  const arming = await database.connect()
  await arming.query('begin')
  await arming.query(arm, [other, true])
  const disarming = database.query(arm, [one, false])
  await expect
    .poll(async () => {
      const { rows } = await database.query<{ waiting: number }>(
        `select count(*)::int as waiting from pg_locks
         where locktype = 'advisory' and not granted
           and database = (select oid from pg_database where datname = current_database())`,
      )
      return rows[0]?.waiting
    })
    .toBe(1)
  expect(await ringing()).toBe(true)
  await arming.query('commit')
  await disarming
  expect(await armedProcesses(database)).toEqual([other])
  expect(await ringing()).toBe(true)

  // Who gives up in the middle has rung for nobody at the worst.
  await arming.query('begin')
  await arming.query(arm, [one, true])
  await arming.query('rollback')
  await arming.end()
  expect(await ringing()).toBe(true)

  await database.query('delete from tidemark.doorbells')
  expect(await ringing()).toBe(false)
})

test('a snapshot from before the lock never silences the bell', async () => {
  const [one, other] = [randomUUID(), randomUUID()]
  await database.query('insert into tidemark.doorbells (process, armed) values ($1, true)', [one])
  const old = await database.connect()
  await old.query('begin isolation level repeatable read')
  await old.query('select from tidemark.doorbells')
  await database.query('insert into tidemark.doorbells (process, armed) values ($1, true)', [other])
  await old.query('update tidemark.doorbells set armed = false where process = $1', [one])
  await old.query('commit')
  await old.end()
  const { rows } = await database.query('select last_value from tidemark.armed')
  expect(rows).toEqual([{ last_value: '1' }])
  await database.query('delete from tidemark.doorbells')
})

test('a process that stops takes its doorbell away', async () => {
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  await asleep(database)
  await runner.stop()
  const { rows } = await database.query('select process from tidemark.doorbells')
  expect(rows).toEqual([])
})
