import { expect, test } from 'vitest'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

test('a publisher that stays open is named in the log with growing pauses, until it ends', async () => {
  const logger = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger })
  await using runner = await app.start({ publisherPatience: 300 })
  const slow = await database.connect({ application_name: 'month-end' })
  await slow.query('begin')
  await slow.query(`select tidemark.publish('test.noted', '{"note":"slow"}') as forgotten`)
  const { rows } = await slow.query<{ pid: number }>('select pg_backend_pid() as pid')
  const behind = await app.publish(noted({ note: 'behind' }))

  const { level, fields, message } = await logger.wrote(/has been publishing/u)
  expect(level).toBe('warn')
  expect(fields).toMatchObject({
    publisher: {
      pid: rows[0]?.pid,
      prepared: null,
      application: 'month-end',
      state: 'idle in transaction',
      floor: 0n,
      query: expect.stringContaining('pg_backend_pid'),
    },
  })
  expect(message).toMatch(/^pid \d+ \(month-end, idle in transaction\).* after sequence 0 is read/u)
  expect(await effectsOf(database, 'ledger')).toEqual([])
  expect(await app.outbox.publishers()).toMatchObject([{ pid: rows[0]?.pid }])

  await slow.query('commit')
  await slow.end()
  await app.waitFor('ledger', behind.sequence)
  await logger.wrote(/nobody holds the horizon back/u)
  await runner.stop()
})

test('a publisher is not named while others come and go', async () => {
  const logger = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger })
  await using runner = await app.start({ publisherPatience: 1_000 })
  const end = Date.now() + 3_000
  let last = await app.publish(noted({ note: 'first' }))
  while (Date.now() < end) last = await app.publish(noted({ note: 'again' }))
  await app.waitFor('ledger', last.sequence)
  expect(logger.entries.filter(({ message }) => /publishing/u.test(message))).toEqual([])
  await runner.stop()
})
