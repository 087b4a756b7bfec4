import { defineListener, defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { noted, notesOf } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const insert = 'insert into effects (listener, sequence) values ($1, $2)'

test('statements that are sent take effect in their order, with the cursor', async () => {
  const listener = defineListener('sender').on(noted, async (event, { send, tx }) => {
    send(insert, ['sender', event.sequence])
    // What is awaited later sees what was sent before.
    const { rows } = await tx.query(
      'select count(*)::int as count from effects where sequence = $1',
      [event.sequence],
    )
    expect(rows).toEqual([{ count: 1 }])
  })
  await using app = appOn(database, [listener])
  const notes = Array.from({ length: 50 }, (_, n) => `note ${n}`)
  const published = await app.publish(notes.map((note) => noted({ note })))
  await app.start({ handleSignals: false })
  await app.waitFor(listener, published.at(-1)?.sequence ?? null)
  expect(await notesOf(database, 'sender')).toEqual(notes)
})

test('a sent statement that fails is the failure of its event: those before it commit, and its error is recorded', async () => {
  const listener = defineListener('sender', { retry: { attempts: 2, backoff: () => 5 } }).on(
    noted,
    (event, { send }) => {
      send(insert, ['sender', event.sequence])
      if (event.payload.note === 'bad') send('select 1 / 0')
    },
  )
  await using app = appOn(database, [listener])
  const published = await app.publish(['one', 'two', 'bad', 'four'].map((note) => noted({ note })))
  await app.start({ handleSignals: false })
  await expect(app.waitFor(listener, published.at(-1)?.sequence ?? null)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect(await notesOf(database, 'sender')).toEqual(['one', 'two'])
  const { partitions } = await app.listeners.get('sender')
  expect(partitions[0]?.failedSequence).toBe(published[2]?.sequence)
  expect(JSON.stringify(partitions[0]?.lastError)).toContain('division by zero')
})

test('a table that changes under a prepared statement costs a retry, not the listener', async () => {
  const listener = defineListener('sender', { retry: { attempts: 1 } }).on(
    noted,
    async (event, { db, tx }) => {
      await tx.query(insert, ['sender', event.sequence])
      await db.selectFrom('shape').selectAll().execute()
    },
  )
  await database.query('create table shape (a integer)')
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor(listener, one.sequence)
  await database.query('alter table shape add column b text')
  const two = await app.publish(noted({ note: 'two' }))
  await app.waitFor(listener, two.sequence)
  expect(await notesOf(database, 'sender')).toEqual(['one', 'two'])
})

test('an inline projection sends into its publisher’s transaction', async () => {
  const projection = defineProjection('sender', {
    version: 1,
    mode: 'inline',
    tables: ['effects'],
  }).on(noted, (event, { send }) => {
    send(insert, ['sender', event.sequence])
    if (event.payload.note === 'bad') send('insert into nowhere values (1)')
  })
  await using app = appOn(database, [projection])
  await app.publish(noted({ note: 'one' }))
  await expect(app.publish(noted({ note: 'bad' }))).rejects.toThrow('nowhere')
  expect(await notesOf(database, 'sender')).toEqual(['one'])
})
