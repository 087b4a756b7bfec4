import { defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Gate } from '../support/gate.ts'
import { countLooks, gateAfterTheLook } from '../support/publishers-look.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

test('a publisher that commits late is not skipped', async () => {
  const looks = await countLooks(database)
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start({ doorbell: { safetyPoll: 20 } })
  await using late = await SqlPublisher.open(database)
  await late.begin('drawn first, committed last')
  const early = await app.publish(noted({ note: 'drawn last, committed first' }))

  // It is committed, the reader has looked again and again, and nobody may see it yet.
  const sofar = await looks()
  await expect.poll(looks, { timeout: 15_000 }).toBeGreaterThan(sofar + 4)
  await expect(app.waitFor('ledger', early.sequence, { timeout: 100 })).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
  })
  expect(await effectsOf(database, 'ledger')).toEqual([])

  await late.commit()
  await app.waitFor('ledger', early.sequence)
  expect(await notesOf(database, 'ledger')).toEqual([
    'drawn first, committed last',
    'drawn last, committed first',
  ])
  expect(runner.partitions).toEqual(['ledger#0'])
})

test('a publisher that rolls back late holds nothing back once it is gone', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start()
  await using late = await SqlPublisher.open(database)
  await late.begin('never committed')
  const { sequence } = await app.publish(noted({ note: 'committed' }))
  await late.rollback()
  await app.waitFor('ledger', sequence)
  expect(await notesOf(database, 'ledger')).toEqual(['committed'])
})

test('a publisher that draws while the horizon is being looked at is not skipped', async () => {
  await using gate = await Gate.close(database)
  await gateAfterTheLook(database, gate)
  await using reader = await database.connect().then((client) => ({
    client,
    [Symbol.asyncDispose]: () => client.end(),
  }))
  const looking = reader.client.query<{ last_sequence: string; lowest_floor: string | null }>(
    'select * from tidemark.horizon()',
  )
  await gate.reached()

  // Nobody was publishing when the reader looked. Now one draws and stays open, the next one commits above it.
  await using late = await SqlPublisher.open(database)
  await late.begin()
  const drawnFirst = await late.publish('open')
  await using early = await SqlPublisher.open(database)
  await early.publish('committed above it')
  await gate.open()

  const { rows } = await looking
  const row = rows[0] ?? { last_sequence: '', lowest_floor: '' }
  const horizon =
    row.lowest_floor !== null && BigInt(row.lowest_floor) < BigInt(row.last_sequence)
      ? BigInt(row.lowest_floor)
      : BigInt(row.last_sequence)
  expect(horizon).toBeLessThan(drawnFirst)
  await late.commit()
})

test('eight publishers with slow commits and rollbacks: every committed event once and in order, by listener and by projection', async () => {
  const ledger = recorder('ledger')
  const seen = defineProjection('seen', {
    version: 1,
    initial: (): { sequences: bigint[] } => ({ sequences: [] }),
  }).on(noted, (state, event) => ({ sequences: [...state.sequences, event.sequence] }))
  await using app = appOn(database, [ledger, seen], { maxConnections: 16 })
  await app.start()

  const publishers = Array.from({ length: 8 }, async (_, publisher) => {
    await using connection = await SqlPublisher.open(database)
    let rolledBack = 0
    for (let n = 0; n < 60; n++) {
      await connection.begin(`${publisher}/${n}`)
      // A commit that takes its time: the work of a transaction after it has published.
      if (n % 3 === 0)
        await connection.query(`select pg_sleep(${((n * 7 + publisher) % 20) / 1000})`)
      if (n % 2 === 0) await connection.publish(`${publisher}/${n} again`)
      if ((n + publisher) % 8 === 0) {
        rolledBack += 1
        await connection.rollback()
      } else {
        await connection.commit()
      }
    }
    return rolledBack
  })
  const rolledBack = (await Promise.all(publishers)).reduce((sum, n) => sum + n, 0)
  expect(rolledBack).toBeGreaterThanOrEqual(48)

  const committed = await committedEvents(database)
  const last = await app.publish(noted({ note: 'the last' }))
  await app.waitFor(ledger, last.sequence)
  await app.waitFor(seen, last.sequence)
  const expected = [...committed, last.sequence]
  expect(await effectsOf(database, 'ledger')).toEqual(expected)
  expect((await app.read(seen)).sequences).toEqual(expected)
})
