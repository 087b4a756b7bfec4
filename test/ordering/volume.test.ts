import { defineListener, defineProjection } from 'tidemark'
import { expect, vi, test } from 'vitest'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { countLooks } from '../support/publishers-look.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

test('a thousand rolled-back sequences cost no writes and delay nobody', async () => {
  const looks = await countLooks(database)
  await using app = appOn(database, [recorder('ledger')])
  // Renewing a lease writes as well; not within this test.
  await app.start({
    leaseDuration: 600_000,
    doorbell: { safetyPoll: 20, maxWakeUps: 1_000_000 },
  })
  const first = await app.publish(noted({ note: 'before' }))
  await app.waitFor('ledger', first.sequence)
  const written = async (): Promise<unknown> =>
    (await database.query('select cursor, xmin::text, ctid::text from tidemark.cursors')).rows
  const before = await written()

  await using publisher = await SqlPublisher.open(database)
  for (let n = 0; n < 1000; n++) {
    await publisher.query(
      `begin; insert into tidemark.events (type, payload) values ('test.noted', '{"note":"undone"}'); rollback`,
    )
  }
  const sofar = await looks()
  await vi.waitFor(async () => expect(await looks()).toBeGreaterThan(sofar + 5), {
    timeout: 10_000,
  })
  // The reader has looked again and again, and there was nothing to write down about the gap.
  expect(await written()).toEqual(before)

  const last = await app.publish(noted({ note: 'after' }))
  expect(last.sequence - first.sequence).toBe(1001n)
  await app.waitFor('ledger', last.sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([first.sequence, last.sequence])
  expect((await database.query('select from tidemark.events')).rowCount).toBe(2)
})

test('one transaction of 100,000 events reaches every listener in order', async () => {
  const total = 100_000
  const counted = defineProjection('counted', {
    version: 1,
    initial: () => ({ events: 0, last: 0n, disorder: 0 }),
  }).on(noted, (state, event) => ({
    events: state.events + 1,
    last: event.sequence as bigint,
    disorder: state.disorder + (event.sequence > state.last ? 0 : 1),
  }))
  let handled = 0
  const tenth = defineListener('every-thousandth').on(noted, async (event, { tx }) => {
    handled += 1
    if (handled % 1000 !== 0) return
    await tx.query('insert into effects (listener, sequence) values ($1, $2)', [
      'every-thousandth',
      event.sequence,
    ])
  })
  await using app = appOn(database, [counted, tenth])
  await app.start()

  const { events, sequence } = await app.transaction(async (tx) => {
    for (let n = 0; n < total; n += 10_000) {
      tx.publish(Array.from({ length: 10_000 }, (_, i) => noted({ note: String(n + i) })))
    }
  })
  expect(events).toHaveLength(total)
  if (sequence === null) throw new Error('nothing was published')
  await app.waitFor(counted, sequence, { timeout: '50s' })
  await app.waitFor(tenth, sequence, { timeout: '50s' })

  expect(await app.read(counted)).toEqual({ events: total, last: sequence, disorder: 0 })
  expect(await effectsOf(database, 'every-thousandth')).toEqual(
    events.filter((_, index) => index % 1000 === 999).map((event) => event.sequence),
  )
})
