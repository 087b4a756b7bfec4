import { createTestDatabase } from '@tidemark/testing'
import pg from 'pg'
import { defineEntity, defineEvent, defineListener } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { needsSmallQueue, startWithSmallQueue } from '../support/small-queue.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const counted = defineEvent('shortcuts.counted', { payload: z.object({}) })

test('an entity whose state cannot be kept as a snapshot is loaded from its events', async () => {
  class Count {
    n = 0
  }
  const counter = defineEntity('counter', { initial: () => new Count(), snapshotEvery: 2 }).on(
    counted,
    (state) => Object.assign(new Count(), { n: state.n + 1 }),
  )
  await using app = appOn(database, [counted])
  for (let n = 0; n < 5; n++) await app.decide(counter, 'a', () => counted({}))
  expect((await app.load(counter, 'a')).state.n).toBe(5)
  expect((await database.query('SELECT FROM tidemark.snapshots')).rowCount).toBe(0)
})

test('a snapshot that the server refuses does not fail the command', async () => {
  const counter = defineEntity('counter', { initial: () => 0, snapshotEvery: 2 }).on(
    counted,
    (n) => n + 1,
  )
  await database.query('ALTER TABLE tidemark.snapshots ADD CHECK (stream_version < 0)')
  await using app = appOn(database, [counted], { logger: new LogBook() })
  for (let n = 0; n < 5; n++) await app.decide(counter, 'a', () => counted({}))
  expect((await app.load(counter, 'a')).state).toBe(5)
})

test('a snapshot is kept in a transaction of the caller’s, of a handler’s and of transaction(), too', async () => {
  const counter = defineEntity('counter', { initial: () => 0, snapshotEvery: 2 }).on(
    counted,
    (n) => n + 1,
  )
  const deciding = defineListener('deciding', { retry: { attempts: 1 } }).on(
    noted,
    async (_, { tx }) => {
      await app.decide(counter, 'handler', () => counted({}), { tx })
    },
  )
  await using app = appOn(database, [counted, deciding])
  await app.start()
  await using publisher = await SqlPublisher.open(database)
  for (let n = 0; n < 5; n++) {
    await publisher.begin()
    await app.decide(counter, 'client', () => counted({}), { tx: publisher.client })
    await publisher.commit()
    await app.transaction(async (tx) => {
      await app.decide(counter, 'transaction', () => counted({}), { tx })
    })
    const { sequence } = await app.publish(noted({ note: `${n}` }))
    await app.waitFor(deciding, sequence)
  }
  for (const id of ['client', 'transaction', 'handler']) {
    expect(await app.load(counter, id)).toMatchObject({ state: 5, eventsRead: 1 })
  }
})

test('a snapshot holds what was loaded, whatever the command does to the state', async () => {
  const counter = defineEntity('counter', {
    initial: () => ({ n: 0, dates: new Set<number>() }),
    snapshotEvery: 1,
  }).on(counted, (state) => {
    state.n += 1
    return state
  })
  await using app = appOn(database, [counted])
  for (let n = 0; n < 3; n++) {
    await app.decide(counter, 'a', (state) => {
      expect(state.n).toBe(n)
      state.n += 1000
      state.dates.add(n)
      return counted({})
    })
  }
  expect((await app.load(counter, 'a')).state).toEqual({ n: 3, dates: new Set() })
})

test('publishers, spawners and their commits go on while the queue of notifications is full', async ({
  skip,
}) => {
  await using server = await startWithSmallQueue()
  if (server === undefined) return skip(needsSmallQueue)
  await using fresh = await createTestDatabase({ server })
  await using app = appOn(fresh, [noted])
  // What somebody armed makes publishers do: ring.
  await fresh.query(
    'INSERT INTO tidemark.doorbells (process, armed) VALUES (gen_random_uuid(), true)',
  )
  const sitting = new pg.Client({ connectionString: fresh.url })
  sitting.on('error', () => {})
  await sitting.connect()
  await sitting.query('LISTEN anything')
  await sitting.query('BEGIN')
  await sitting.query('SELECT 1')
  const filler = new pg.Client({ connectionString: fresh.url })
  await filler.connect()
  // Each is another text, so that none is left out; the last one finds no room.
  await expect(
    (async () => {
      for (let n = 0; n < 1000; n++) {
        await filler.query(
          `SELECT pg_notify('anything', repeat('x', 7000) || i || '-' || ${n}) FROM generate_series(1, 10) AS i`,
        )
      }
    })(),
  ).rejects.toThrow(/NOTIFY queue/u)
  for (let n = 0; n < 20; n++) await app.publish(noted({ note: String(n) }))
  await app.transaction(async (tx) => tx.publish(noted({ note: 'in a transaction' })))
  await app.publish(noted({ note: 'stream' }), { stream: 's-1' })
  await fresh.query(`SELECT tidemark.publish('test.noted', '{"note": "sql"}')`)
  expect((await fresh.query('SELECT FROM tidemark.events')).rowCount).toBe(23)
  await sitting.end()
  await filler.end()
})
