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

test('a statement that comes again is planned once', async () => {
  const text = 'insert into effects (listener, sequence) values ($1, $2) -- planned once'
  const planned: unknown[] = []
  const listener = defineListener('sender').on(noted, async (event, { tx }) => {
    await tx.query(text, ['sender', event.sequence])
    const { rows } = await tx.query(
      'select count(*)::integer as count from pg_prepared_statements where statement = $1',
      [text],
    )
    planned.push(rows[0]?.['count'])
  })
  await using app = appOn(database, [listener])
  await app.publish(['a', 'b', 'c'].map((note) => noted({ note })))
  const { sequence } = await app.publish(noted({ note: 'd' }))
  await app.start({ handleSignals: false })
  await app.waitFor(listener, sequence)
  expect(planned).toEqual([0, 1, 1, 1])
  expect(await notesOf(database, 'sender')).toEqual(['a', 'b', 'c', 'd'])
})

test('what a handler does to its session counts for the statements after it, whatever was planned', async () => {
  await database.query(
    `create schema narrow; create table narrow.shape (a integer); insert into narrow.shape values (1);
     create schema wide; create table wide.shape (a text, b text); insert into wide.shape values ('x', 'y')`,
  )
  const seen: unknown[] = []
  const listener = defineListener('sender', { retry: { attempts: 1 } }).on(
    noted,
    async ({ payload: { note } }, { tx, attempt }) => {
      await tx.query(`set local search_path = ${note}`)
      const { rows } = await tx.query('select * from shape where $1::integer = 1', [1])
      await tx.query('create temp table shape on commit drop as select $1::text as c', [note])
      const temporary = await tx.query('select * from pg_temp.shape where c = $1', [note])
      await tx.query('drop table pg_temp.shape')
      seen.push([attempt, rows[0], temporary.rows[0]])
    },
  )
  await using app = appOn(database, [listener])
  const notes = ['narrow', 'narrow', 'narrow', 'wide', 'wide', 'narrow']
  const published = await app.publish(notes.map((note) => noted({ note })))
  await app.start({ handleSignals: false })
  await app.waitFor(listener, published.at(-1)?.sequence ?? null)
  const rows = { narrow: { a: 1 }, wide: { a: 'x', b: 'y' } } as Record<string, unknown>
  expect(seen).toEqual(notes.map((note) => [1, rows[note], { c: note }]))
  const { partitions } = await app.listeners.get('sender')
  expect(partitions[0]?.attempts).toBe(0)
})

test('a column that has become wider under a prepared statement takes what it holds now', async () => {
  await database.query('create table widened (n integer)')
  const listener = defineListener('sender', { retry: { attempts: 1 } }).on(
    noted,
    async ({ payload: { note } }, { tx }) => {
      await tx.query('insert into widened (n) values ($1)', [note])
    },
  )
  await using app = appOn(database, [listener], { maxConnections: 4 })
  await app.start({ handleSignals: false })
  for (const note of ['1', '2', '3', '4']) {
    const { sequence } = await app.publish(noted({ note }))
    await app.waitFor(listener, sequence)
  }
  await database.query('alter table widened alter column n type bigint')
  for (const note of ['3000000000', '4000000000']) {
    const { sequence } = await app.publish(noted({ note }))
    await app.waitFor(listener, sequence)
  }
  const { rows } = await database.query('select n::text from widened order by widened.n')
  expect(rows.map(({ n }) => n)).toEqual(['1', '2', '3', '4', '3000000000', '4000000000'])
})

test('a transaction of the caller’s does not fail for a table that has changed', async () => {
  await database.query('create table changing (a integer); insert into changing values (1)')
  await using app = appOn(database, [noted], { maxConnections: 4 })
  const read = async (): Promise<unknown> => {
    const { result } = await app.transaction(async ({ db, query }) => {
      const ids = db.selectFrom('changing' as never).selectAll()
      const byKysely = await ids.where('a' as never, '=', 1 as never).execute()
      const { rows } = await query('select * from changing where a = $1', [1])
      return [...byKysely, ...rows]
    })
    return result
  }
  for (let time = 0; time < 3; time++) expect(await read()).toEqual([{ a: 1 }, { a: 1 }])
  await database.query('alter table changing add column b text')
  expect(await read()).toEqual([1, 2].map(() => ({ a: 1, b: null })))
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

test('a transaction of the caller’s does not fail for what an inline projection sends to a table that has changed', async () => {
  await database.query('create table grown (n integer)')
  const projection = defineProjection('growing', {
    version: 1,
    mode: 'inline',
    tables: ['grown'],
  }).on(noted, ({ payload: { note } }, { send }) => {
    send('insert into grown (n) values ($1)', [note])
  })
  await using app = appOn(database, [projection])
  const publish = (note: string): Promise<unknown> =>
    app.transaction(async (tx) => tx.publish(noted({ note })))
  for (const note of ['1', '2', '3']) await publish(note)
  await database.query('alter table grown alter column n type bigint')
  await publish('3000000000')
  // One that is nobody's is run again.
  for (const note of ['4', '5']) await app.publish(noted({ note }))
  await database.query('alter table grown alter column n type text')
  await app.publish(noted({ note: 'six' }))
  const { rows } = await database.query('select n from grown')
  expect(rows.map(({ n }) => n)).toEqual(['1', '2', '3', '3000000000', '4', '5', 'six'])
})
