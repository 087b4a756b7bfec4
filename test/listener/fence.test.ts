import { defineListener, defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { run } from '../../packages/core/src/database/executor.ts'
import { Database } from '../../packages/core/src/database/pool.ts'
import {
  advanceCursor,
  advanceState,
} from '../../packages/core/src/database/sql/listener/cursors.ts'
import { effectsOf, noted, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

// Either condition alone stops most zombies, so that the scenarios cannot tell that both are there. This can.

interface Fenced {
  readonly how: string
  readonly epoch: number
  readonly cursor: number
  readonly moves: number
}

const cases: readonly Fenced[] = [
  { how: 'the epoch and the cursor that are stored', epoch: 7, cursor: 40, moves: 1 },
  { how: 'an older epoch', epoch: 6, cursor: 40, moves: 0 },
  { how: 'an older cursor', epoch: 7, cursor: 39, moves: 0 },
]

for (const { how, epoch, cursor, moves } of cases) {
  for (const fenced of ['advance_cursor', 'advance_state'] as const) {
    test(`${fenced} with ${how} moves ${moves} rows`, async () => {
      await database.query(`insert into tidemark.listeners (name, kind) values ('l', 'listener')`)
      await database.query(
        `insert into tidemark.cursors (listener, epoch, cursor) values ('l', 7, 40)`,
      )
      const pool = new Database({ connectionString: database.url }, 'fence', () => {})
      try {
        const common = ['l', 1, 0, epoch, cursor, 50, 1000]
        const { rowCount } =
          fenced === 'advance_cursor'
            ? await run(pool, advanceCursor('tidemark'), common)
            : await run(pool, advanceState('tidemark'), [...common, '{}', null])
        expect(rowCount).toBe(moves)
      } finally {
        await pool.close()
      }
      const { rows } = await database.query('select cursor from tidemark.cursors')
      expect(rows).toEqual([{ cursor: moves === 1 ? '50' : '40' }])
    })
  }
}

const tally = defineProjection('tally', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)

// The owner's heartbeat is half a minute away: only the fence can tell it what happened.
const unaware = { leaseDuration: 120_000, acquireInterval: 60_000 }

test('an owner whose partitions another process took over applies nothing more', async () => {
  const log = new LogBook()
  await using app = appOn(database, [recorder('ledger'), tally], { logger: log })
  await app.start(unaware)
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor('ledger', one.sequence)
  await app.waitFor(tally, one.sequence)
  await database.query(
    `update tidemark.cursors set owner = gen_random_uuid(), epoch = epoch + 1,
       lease_until = clock_timestamp() + interval '1 hour'`,
  )
  await app.publish(noted({ note: 'two' }))
  await log.wrote(/ledger is run by another process now/)
  await log.wrote(/tally is run by another process now/)
  expect(await effectsOf(database, 'ledger')).toEqual([one.sequence])
  expect(await app.read(tally)).toBe(1)
  await database.query('update tidemark.cursors set owner = null, lease_until = null')
})

test('a batch that was committed without the owner knowing it is not applied again', async () => {
  const log = new LogBook()
  await using app = appOn(database, [recorder('ledger'), tally], { logger: log })
  await app.start({ ...unaware, acquireInterval: 50 })
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor('ledger', one.sequence)
  await app.waitFor(tally, one.sequence)
  await using elsewhere = await SqlPublisher.open(database)
  await elsewhere.begin()
  const two = await elsewhere.publish('two')
  await elsewhere.query(`update tidemark.cursors set cursor = ${two}, owner = null`)
  await elsewhere.commit()
  const three = await app.publish(noted({ note: 'three' }))
  await app.waitFor('ledger', three.sequence)
  await app.waitFor(tally, three.sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([one.sequence, three.sequence])
  expect(await app.read(tally)).toBe(2)
})

test('a process that starts does not wait for a batch that is under way', async () => {
  const entered = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const slow = defineListener('ledger').on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'ledger', event)
    entered.resolve()
    await gate.promise
  })
  await using first = appOn(database, [slow])
  await first.start({ leaseDuration: 500, handleSignals: false })
  const { sequence } = await first.publish(noted({ note: 'slow' }))
  await entered.promise
  // Until the batch has prolonged its lease from within, which is what takes the lock.
  await expect
    .poll(
      async () =>
        (
          await database.query(
            `select from pg_stat_activity where query like '%lease_until%' and state = 'idle in transaction'
             and datname = current_database() and query not like '%cursor = $6%'`,
          )
        ).rowCount,
    )
    .toBeGreaterThan(0)
  await using second = appOn(database, [slow])
  await second.start({ leaseDuration: 500, handleSignals: false })
  gate.resolve()
  await first.waitFor(slow, sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([sequence])
})
