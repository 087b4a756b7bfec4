import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const business = `insert into effects (listener, sequence) values ('business', 0)`

test('a transaction commits its rows and its events together, and answers the sequence to wait for', async () => {
  await using app = appOn(database, [noted])
  let during: bigint[] = [0n]
  const { result, events, sequence } = await app.transaction(async (tx) => {
    tx.publish(noted({ note: 'one' }))
    await tx.query(business)
    tx.publish([noted({ note: 'two' }), noted({ note: 'three' })])
    during = await committedEvents(database)
    return 'done'
  })
  expect(during).toEqual([])
  expect(result).toBe('done')
  expect(events.map((event) => event.sequence)).toEqual(await committedEvents(database))
  expect(sequence).toBe(events[2]?.sequence)
  expect(await effectsOf(database, 'business')).toHaveLength(1)
})

test('a transaction that throws keeps neither rows nor events', async () => {
  await using app = appOn(database, [noted])
  const undone = new Error('on purpose')
  await expect(
    app.transaction(async (tx) => {
      tx.publish(noted({ note: 'never' }))
      await tx.query(business)
      throw undone
    }),
  ).rejects.toBe(undone)
  expect(await committedEvents(database)).toEqual([])
  expect(await effectsOf(database, 'business')).toEqual([])
})

test('a transaction whose COMMIT fails keeps no events', async () => {
  await database.query('create table once (n integer unique deferrable initially deferred)')
  await using app = appOn(database, [noted])
  for (const options of [undefined, { stream: 's' }]) {
    await expect(
      app.transaction(async (tx) => {
        await tx.query('insert into once values (1), (1)')
        tx.publish(noted({ note: 'never' }), options)
      }),
    ).rejects.toMatchObject({ code: '23505' })
  }
  expect(await committedEvents(database)).toEqual([])
})

test('a transaction whose events are refused keeps no rows', async () => {
  await using app = appOn(database, [noted])
  await app.publish(noted({ note: 'first' }), { stream: 's' })
  await expect(
    app.transaction(async (tx) => {
      await tx.query(business)
      tx.publish(noted({ note: 'no conflict' }))
      tx.publish(noted({ note: 'conflict' }), { stream: 's', expectedVersion: 'none' })
    }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
  expect(await committedEvents(database)).toHaveLength(1)
  expect(await effectsOf(database, 'business')).toEqual([])
})

test('a transaction that swallowed the error of a statement does not pretend to have committed', async () => {
  await using app = appOn(database, [noted])
  for (const options of [undefined, { stream: 's' }]) {
    await expect(
      app.transaction(async (tx) => {
        await tx.query(business)
        await tx.query('select 1 / 0').catch(() => {})
        tx.publish(noted({ note: 'lost' }), options)
      }),
    ).rejects.toThrow(/aborted|swallowed/)
  }
  await expect(
    app.transaction(async (tx) => {
      await tx.query('select 1 / 0').catch(() => {})
    }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_TRANSACTION_ABORTED' })
  expect(await committedEvents(database)).toEqual([])
  expect(await effectsOf(database, 'business')).toEqual([])
})

test('an invalid payload is refused where it is made, and nothing is sent', async () => {
  await using app = appOn(database, [noted])
  await expect(
    app.transaction(async (tx) => {
      await tx.query(business)
      tx.publish(noted({ note: 7 as unknown as string }))
    }),
  ).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_EVENT',
    details: { type: 'test.noted', issues: [{ path: 'note' }] },
  })
  expect(await effectsOf(database, 'business')).toEqual([])
})

test('what is used after its transaction has ended is refused', async () => {
  await using app = appOn(database, [noted])
  const { result: query } = await app.transaction(async (tx) => tx.query)
  await expect(query('select 1')).rejects.toMatchObject({ code: 'TIDEMARK_TRANSACTION_CLOSED' })
})

test('an application that is closed refuses to publish', async () => {
  const app = appOn(database, [noted])
  await app.publish(noted({ note: 'in time' }))
  await app.close()
  await expect(app.publish(noted({ note: 'too late' }))).rejects.toMatchObject({
    code: 'TIDEMARK_CLOSED',
  })
  await expect(app.transaction(async () => {})).rejects.toMatchObject({ code: 'TIDEMARK_CLOSED' })
  expect(await committedEvents(database)).toHaveLength(1)
})

test('closing waits for what is being published', async () => {
  const app = appOn(database, [noted])
  const publishing = Array.from({ length: 50 }, (_, n) => app.publish(noted({ note: `${n}` })))
  await app.close()
  const published = await Promise.all(publishing)
  expect(published.map((event) => event.sequence)).toEqual(await committedEvents(database))
})
