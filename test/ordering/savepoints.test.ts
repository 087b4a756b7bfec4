import type { App } from 'tidemark'
import { expect, test } from 'vitest'
import { noted, notesOf, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** Another publisher commits above the open one: nothing may be handled until that ends. */
async function isHeldBackBy(app: App, publisher: SqlPublisher): Promise<void> {
  const { sequence } = await app.publish(noted({ note: 'above' }))
  await expect(app.waitFor('ledger', sequence, { timeout: 250 })).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
  })
  expect(await notesOf(database, 'ledger')).toEqual([])
  await publisher.commit()
  await app.waitFor('ledger', sequence)
}

test('an event published before a savepoint that is rolled back is not skipped', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { safetyPoll: 20 } })
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin('before')
  await publisher.query('savepoint s')
  await publisher.publish('undone')
  await publisher.query('rollback to s')
  await isHeldBackBy(app, publisher)
  expect(await notesOf(database, 'ledger')).toEqual(['before', 'above'])
})

test('an event published after a savepoint that published was rolled back is not skipped', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { safetyPoll: 20 } })
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  await publisher.query('savepoint s')
  await publisher.publish('undone')
  // The lock is gone with the savepoint: the next statement has to register the publisher again.
  await publisher.query('rollback to s')
  await publisher.publish('after')
  await isHeldBackBy(app, publisher)
  expect(await notesOf(database, 'ledger')).toEqual(['after', 'above'])
})

test('an event published after a savepoint in which a statement failed is not skipped', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { safetyPoll: 20 } })
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  await publisher.query('savepoint s')
  await publisher.publish('undone')
  await expect(publisher.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
  await publisher.query('rollback to s')
  await publisher.query('release s')
  await publisher.publish('after')
  await isHeldBackBy(app, publisher)
  expect(await notesOf(database, 'ledger')).toEqual(['after', 'above'])
})

test('an event published in a savepoint that is released is not skipped', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { safetyPoll: 20 } })
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  await publisher.query('savepoint outside')
  await publisher.query('savepoint inside')
  await publisher.publish('inside')
  await publisher.query('release inside')
  await publisher.query('release outside')
  await isHeldBackBy(app, publisher)
  expect(await notesOf(database, 'ledger')).toEqual(['inside', 'above'])
})

test('a publisher whose only event was rolled back with its savepoint holds nothing back', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { safetyPoll: 20 } })
  await using publisher = await SqlPublisher.open(database)
  await publisher.begin()
  await publisher.query('savepoint s')
  await publisher.publish('undone')
  await publisher.query('rollback to s')
  const { sequence } = await app.publish(noted({ note: 'above' }))
  await app.waitFor('ledger', sequence)
  expect(await notesOf(database, 'ledger')).toEqual(['above'])
  await publisher.rollback()
})
