import { createTestDatabase, startPostgres, type TestDatabase } from '@tidemark/testing'
import { toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted, recorder } from '../support/effects.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { countLooks } from '../support/publishers-look.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const shared = useFreshDatabase()

test('numbers that a crashed server draws a second time are not skipped', async () => {
  await using server = await startPostgres({
    source: 'embedded',
    // Nothing is written behind the tests back: a number whose draw was not flushed is drawn again.
    settings: { wal_writer_delay: '10s', checkpoint_timeout: '1h', autovacuum: 'off' },
  })
  await using database = await createTestDatabase({ server, template: effectsTemplate })
  await settleClone(database)
  const looks = await countLooks(database)
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ leaseDuration: 60_000, doorbell: { safetyPoll: 50, maxWakeUps: 1_000_000 } })
  const before = await app.publish(noted({ note: 'before the crash' }))
  await app.waitFor('ledger', before.sequence)

  const published = [before.sequence]
  for (let drawn = 0n; (published.at(-1) ?? 0n) >= drawn;) {
    await using publisher = await SqlPublisher.open(database)
    // Whatever commits meanwhile flushes the draws with itself, and they are not drawn again: then once more.
    for (let flushed = true; flushed;) {
      const { rows: start } = await database.query('select pg_current_wal_insert_lsn() as lsn')
      await publisher.begin()
      drawn = await publisher.publish(...Array.from({ length: 200 }, (_, n) => `undone ${n}`))
      await publisher.rollback()
      // The runner has seen those numbers as drawn and settled.
      const sofar = await looks()
      await expect.poll(looks, { timeout: 10_000 }).toBeGreaterThan(sofar + 2)
      // Whoever waits makes it store how far it is: not there, where nothing was committed.
      const options = { timeout: 500, onTimeout: 'return' } as const
      expect(await app.waitFor('ledger', toEventSequence(drawn), options)).toBe(false)
      const { rows: after } = await database.query<{ flushed: boolean }>(
        'select pg_current_wal_flush_lsn() > $1::pg_lsn as flushed',
        [start[0]?.['lsn']],
      )
      flushed = after[0]?.flushed === true
    }
    await server.kill()
    await server.restart()
    // Not below what was drawn where something was flushed between the look and the crash: once more.
    const { sequence } = await app.publish(noted({ note: 'drawn again' }))
    await app.waitFor('ledger', sequence, { timeout: '30s' })
    published.push(sequence)
  }
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  expect(await effectsOf(database, 'ledger')).toEqual(published)
})

test('publishers cut off by a crash between draw and commit leave nothing behind, and those after it are handled', async () => {
  await using server = await startPostgres({ source: 'embedded' })
  await using database = await createTestDatabase({ server, template: effectsTemplate })
  await settleClone(database)
  await using app = appOn(database, [recorder('ledger')])
  await app.start()
  const before = await app.publish(noted({ note: 'before' }))
  {
    await using publisher = await SqlPublisher.open(database)
    await publisher.begin('never committed')
    await app.publish(noted({ note: 'committed above it' }))
    await server.kill()
  }
  await server.restart()
  const after = await app.publish(noted({ note: 'after' }))
  await app.waitFor('ledger', after.sequence, { timeout: '30s' })
  const effects = await effectsOf(database, 'ledger')
  expect(effects).toEqual(await committedEvents(database))
  expect(effects).toHaveLength(3)
  expect(effects[0]).toBe(before.sequence)
})

test('a cursor beyond the last sequence halts its listener with TIDEMARK_CURSOR_AHEAD', async () => {
  const log = new LogBook()
  {
    await using app = appOn(shared, [recorder('ledger'), recorder('other')])
    await app.start()
    const { sequence } = await app.publish(noted({ note: 'before the restore' }))
    await app.waitFor('ledger', sequence)
    await app.waitFor('other', sequence)
  }
  // What an older backup of the outbox looks like to a cursor.
  await shared.query(`update tidemark.cursors set cursor = cursor + 1000 where listener = 'ledger'`)
  await using app = appOn(shared, [recorder('ledger'), recorder('other')], { logger: log })
  await app.start()
  // The halted one says so to whoever waits for it.
  await expect(app.waitFor('ledger', toEventSequence(1_000_000))).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  await log.wrote(/ledger has halted/)

  const status = await app.listeners.get('ledger')
  expect(status.status).toBe('halted')
  expect(status.partitions[0]?.lastError).toMatchObject({ code: 'TIDEMARK_CURSOR_AHEAD' })
  // The others go on.
  const { sequence } = await app.publish(noted({ note: 'after' }))
  await app.waitFor('other', sequence)
  expect(await effectsOf(shared, 'ledger')).toHaveLength(1)
  await app.listeners.reset('ledger')
  await app.waitFor('ledger', sequence)
  expect(await effectsOf(shared, 'ledger')).toHaveLength(3)
})

/**
 * Postgres copies a template's sequences with the numbers that they may draw without a word in the WAL: until the
 * next checkpoint a crash sends the copies back to where the template was, below rows that are committed.
 */
async function settleClone(database: TestDatabase): Promise<void> {
  await database.query('checkpoint')
}
