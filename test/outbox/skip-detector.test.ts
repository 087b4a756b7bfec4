import { expect, test } from 'vitest'
import { noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const samples = async (): Promise<number> => {
  const { rows } = await database.query<{ n: string }>(
    'select coalesce(max(id), 0) as n from tidemark.horizon_samples',
  )
  return Number(rows[0]?.n)
}

/** Resolves when so many horizons have been sampled. */
async function sampled(count: number): Promise<void> {
  await expect.poll(samples, { timeout: 20_000, interval: 10 }).toBeGreaterThanOrEqual(count)
}

test('an event whose publisher is not registered and commits late is found, logged and kept', async () => {
  const logger = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger })
  await using late = await SqlPublisher.open(database)
  // What a replication worker, or a careless import, does: nothing is left to the defaults that register publishers.
  await late.begin()
  await late.query(
    `insert into tidemark.events (sequence, xid, type, payload)
     values (nextval('tidemark.events_sequence'), pg_current_xact_id(), 'test.noted', '{"note":"late"}')`,
  )
  const { sequence } = await app.publish(noted({ note: 'on time' }))
  await using runner = await app.start({ maintenanceInterval: 100 })
  await app.waitFor('ledger', sequence)
  const before = await samples()
  await sampled(before + 1)
  expect(await app.outbox.skips()).toMatchObject({ skips: [] })

  await late.commit()
  const { level, fields } = await logger.wrote(/turned up below the horizon/u)
  expect(level).toBe('error')
  expect(fields).toMatchObject({ sequence: 1n, horizon: 2n })
  const { skips } = await app.outbox.skips()
  expect(skips[0]).toMatchObject({ sequence: 1n, horizon: 2n })
  // It goes on being told of until somebody has dealt with it, but it is logged once for each sample.
  const now = await samples()
  await sampled(now + 2)
  expect((await app.outbox.skips()).skips).toEqual(skips)
  expect(logger.entries.filter((entry) => /turned up/u.test(entry.message))).toHaveLength(
    skips.length,
  )
  await runner.stop()
})

test('rollbacks, savepoints, late commits and prepared transactions raise no false alarm', async () => {
  const logger = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger })
  await using runner = await app.start({ maintenanceInterval: 100 })
  let over = false
  const load = Array.from({ length: 6 }, async (_, worker) => {
    await using publisher = await SqlPublisher.open(database)
    // A transaction that has rung the doorbell cannot be prepared.
    await publisher.query(`set tidemark.doorbell = 'off'`)
    for (let n = 0; !over; n++) {
      await publisher.begin(`${worker}.${n}`)
      if (n % 5 === 1) {
        await publisher.query('savepoint s')
        await publisher.publish('undone')
        await publisher.query('rollback to s')
      }
      if (n % 20 === 3) await publisher.query('select pg_sleep(0.15)')
      const gid = `${database.name} ${worker} ${n}`
      if (n % 10 === 7) {
        await publisher.query(`prepare transaction '${gid}'`)
        await publisher.publish('meanwhile')
        await publisher.query(`commit prepared '${gid}'`)
      } else if (n % 3 === 2) await publisher.rollback()
      else await publisher.commit()
    }
  })
  await sampled(15)
  over = true
  await Promise.all(load)
  const now = await samples()
  await sampled(now + 1)
  const { skips, samples: kept } = await app.outbox.skips()
  expect(skips).toEqual([])
  expect(kept).toBeGreaterThan(5)
  expect(logger.entries.filter(({ level }) => level === 'error')).toEqual([])
  await runner.stop()
})

test('events of another cluster, whose transaction numbers mean nothing here, raise no alarm', async () => {
  // As after dump and restore into a younger cluster.
  await database.query(`
    insert into tidemark.events (type, payload, xid)
    select 'test.noted', '{"note":"restored"}', (pg_current_xact_id()::text::bigint + 1000000)::text::xid8
    from generate_series(1, 50)`)
  await using app = appOn(database, [recorder('ledger')])
  await using runner = await app.start({ maintenanceInterval: 100 })
  await app.publish(noted({ note: 'new' }))
  const now = await samples()
  await sampled(now + 2)
  expect((await app.outbox.skips()).skips).toEqual([])
  const { rows } = await database.query(
    'select base from tidemark.horizon_samples order by id desc limit 1',
  )
  expect(rows).toEqual([{ base: '50' }])
  await runner.stop()
})

test('old samples are forgotten once every transaction of their time has ended', async () => {
  await using app = appOn(database, [recorder('ledger')])
  const open = await database.connect()
  await open.query('begin; select pg_current_xact_id()')
  const runner = await app.start({ maintenanceInterval: 100 })
  await sampled(14)
  const kept = async (): Promise<number> =>
    (await database.query('select from tidemark.horizon_samples')).rowCount ?? 0
  expect(await kept()).toBeGreaterThan(11)
  await open.query('rollback')
  await open.end()
  await expect.poll(kept, { timeout: 10_000, interval: 20 }).toBeLessThanOrEqual(11)
  await runner.stop()
})
