import { expect, test, vi } from 'vitest'
import { committedEvents, effectsOf, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'
import { WorkerProcess } from '../support/worker-process.ts'

const database = useFreshDatabase()

// Events are handled one by one after each death, which takes long on a busy machine.
vi.setConfig({ testTimeout: 180_000 })

test('workers killed with -9 one after another, under publishers that roll back: every event once and in order', async () => {
  await using app = appOn(database, [noted])
  const worker = (name: string) =>
    WorkerProcess.start({ url: database.url, name, leaseDuration: 600, batchSize: 5 })
  const done = new AbortController()
  const publishers = Array.from({ length: 3 }, async (_, publisher) => {
    await using connection = await SqlPublisher.open(database)
    for (let n = 0; !done.signal.aborted; n++) {
      await connection.begin(`${publisher}/${n}`)
      await connection.query(`select pg_sleep(${((n * 3 + publisher) % 10) / 100})`)
      await (n % 7 === publisher ? connection.rollback() : connection.commit())
    }
  })
  try {
    for (let round = 0; round < 3; round++) {
      await using victim = await worker(`victim ${round}`)
      // It is at work, somewhere in a batch.
      await victim.reported('entered')
      await victim.kill('SIGKILL')
    }
  } finally {
    done.abort()
    await Promise.all(publishers)
  }
  await using survivor = await worker('survivor')
  const last = await app.publish(noted({ note: 'the last' }))
  await app.waitFor('ledger', last.sequence, { timeout: '90s' })
  await app.waitFor('tally', last.sequence, { timeout: '30s' })

  const committed = await committedEvents(database)
  expect(committed.length).toBeGreaterThan(20)
  expect(await effectsOf(database, 'ledger')).toEqual(committed)
  const { rows } = await database.query(
    `select (state ->> 'notes')::integer as notes from tidemark.cursors where listener = 'tally'`,
  )
  expect(rows).toEqual([{ notes: committed.length }])
  expect(survivor.hasEnded).toBe(false)
})
