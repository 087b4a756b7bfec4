import { createTestDatabase } from '@tidemark/testing'
import { expect, test } from 'vitest'
import { asleep } from '../support/doorbells.ts'
import { noted, notesOf, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

// Each opens a transaction with an xid, which is what `pg_snapshot_xmin` would wait for.

test('a long writer that does not publish holds nothing back', async () => {
  await using stranger = await SqlPublisher.open(database)
  await stranger.query('create table strangers (n integer)')
  await stranger.begin()
  await stranger.query('insert into strangers values (1)')
  await using app = appOn(database, [recorder('ledger')])
  await app.start()

  const { sequence } = await app.publish(noted({ note: 'past the stranger' }))
  await app.waitFor('ledger', sequence)

  expect(await notesOf(database, 'ledger')).toEqual(['past the stranger'])
  await stranger.rollback()
})

test('a long writer in another database of the cluster holds nothing back', async () => {
  await using other = await createTestDatabase()
  await using stranger = await SqlPublisher.open(other)
  // Not even one that publishes there, at a floor of its own.
  await stranger.begin('elsewhere')
  await using app = appOn(database, [recorder('ledger')])
  await app.start()

  const { sequence } = await app.publish(noted({ note: 'past the other database' }))
  await app.waitFor('ledger', sequence)

  expect(await notesOf(database, 'ledger')).toEqual(['past the other database'])
  await stranger.rollback()
})

test('a prepared transaction that did not publish holds nothing back', async () => {
  await using stranger = await SqlPublisher.open(database)
  await stranger.query('create table strangers (n integer)')
  await stranger.begin()
  await stranger.query('insert into strangers values (1)')
  await stranger.query(`prepare transaction '${database.name} stranger'`)
  await using app = appOn(database, [recorder('ledger')])
  await app.start()

  const { sequence } = await app.publish(noted({ note: 'past the prepared stranger' }))
  await app.waitFor('ledger', sequence)

  expect(await notesOf(database, 'ledger')).toEqual(['past the prepared stranger'])
  await stranger.query(`rollback prepared '${database.name} stranger'`)
})

test('a prepared transaction that published is waited for, also when its connection is gone', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start()
  await asleep(database)
  {
    await using publisher = await SqlPublisher.open(database)
    await publisher.begin()
    // Postgres refuses to prepare a transaction that has notified: such publishers turn the doorbell off.
    await publisher.query(`set local tidemark.doorbell = 'off'`)
    await publisher.publish('prepared')
    await publisher.query(`prepare transaction '${database.name} publisher'`)
  }
  const { sequence } = await app.publish(noted({ note: 'after it' }))
  await expect(app.waitFor('ledger', sequence, { timeout: 300 })).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
  })
  expect(await notesOf(database, 'ledger')).toEqual([])

  await database.query(`commit prepared '${database.name} publisher'`)
  await app.waitFor('ledger', sequence)
  expect(await notesOf(database, 'ledger')).toEqual(['prepared', 'after it'])
})

test('a publisher that rings cannot prepare: it is told so by Postgres, and nothing is published', async () => {
  await database.query(
    'insert into tidemark.doorbells (process, armed) values (gen_random_uuid(), true)',
  )
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin('rings')
  await expect(publisher.query(`prepare transaction '${database.name} rings'`)).rejects.toThrow(
    /cannot PREPARE a transaction that has executed .*NOTIFY/,
  )
  await publisher.rollback()
  const { rows } = await database.query('select from tidemark.events')
  expect(rows).toHaveLength(0)
})
