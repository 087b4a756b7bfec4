import type { Kysely } from 'kysely'
import { defineListener } from 'tidemark'
import { expect, test } from 'vitest'
import { noted, notesOf } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const insert = 'insert into effects (listener, sequence) values ($1, $2)'

test('a statement goes on when a type of its values was replaced', async () => {
  await database.query("create type mood as enum ('a', 'b'); create table moods (mood mood)")
  const text = 'insert into moods (mood) values ($1)'
  const listener = defineListener('sender', { retry: { attempts: 1 } }).on(
    noted,
    async ({ payload: { note } }, { tx }) => {
      await tx.query(text, [note])
    },
  )
  await using app = appOn(database, [listener], { maxConnections: 4 })
  const db = app.db as Kysely<{ moods: { mood: string } }>
  const byKysely = (mood: string): Promise<unknown> =>
    db.insertInto('moods').values({ mood }).execute()
  await app.start({ handleSignals: false })
  for (const note of ['a', 'a', 'a', 'b']) {
    const { sequence } = await app.publish(noted({ note }))
    await app.waitFor(listener, sequence)
    await byKysely(note)
  }
  await database.query(`create type fewer as enum ('a', 'c');
    alter table moods alter column mood type fewer using replace(mood::text, 'b', 'a')::fewer;
    drop type mood; alter type fewer rename to mood`)
  for (const note of ['c', 'c', 'c']) {
    const { sequence } = await app.publish(noted({ note }))
    await app.waitFor(listener, sequence)
    await byKysely(note)
  }
  const { rows } = await database.query("select mood from moods where mood = 'c'")
  expect(rows).toHaveLength(6)
})

test('what the server reads when it plans is read each time', async () => {
  const texts = ["'now'", "' NOW() '"].map(
    (now) => `select ${now}::timestamptz = now() as same where $1::integer = 1`,
  )
  const seen: unknown[] = []
  const listener = defineListener('sender').on(noted, async (_, { tx, send }) => {
    for (const text of texts) {
      send(text, [1])
      seen.push((await tx.query(text, [1])).rows[0]?.['same'])
    }
  })
  await using app = appOn(database, [listener], { maxConnections: 4 })
  await app.start({ handleSignals: false })
  for (const note of ['a', 'b', 'c', 'd']) {
    const { sequence } = await app.publish(noted({ note }))
    await app.waitFor(listener, sequence)
  }
  expect(seen).toEqual(Array.from({ length: 8 }, () => true))
})

test('a handler may miss a prepared statement of its own', async () => {
  const listener = defineListener('sender', { retry: { attempts: 1 } }).on(
    noted,
    async (event, { tx }) => {
      await tx.query('savepoint mine')
      try {
        await tx.query('execute mine (1)')
      } catch {
        await tx.query('rollback to mine')
        await tx.query('prepare mine as select $1::integer')
        await tx.query('execute mine (1)')
      }
      await tx.query(insert, ['sender', event.sequence])
      if (event.payload.note === 'bad') await tx.query('execute yours (1)')
    },
  )
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  const good = await app.publish(noted({ note: 'good' }))
  await app.waitFor(listener, good.sequence)
  expect(await notesOf(database, 'sender')).toEqual(['good'])
  const bad = await app.publish(noted({ note: 'bad' }))
  await expect(app.waitFor(listener, bad.sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
})

test.each([{ text: 'commit' }, undefined, 1, 'select $1::integer\0'])(
  'what is no text is refused as such: %j',
  async (text) => {
    await using app = appOn(database, [noted])
    const asked = app.transaction(({ query }) => query(text as unknown as string, [1]))
    await expect(asked).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  },
)

test('an empty statement asks nothing, however often', async () => {
  const listener = defineListener('sender', { retry: { attempts: 1 } }).on(
    noted,
    async (event, { tx }) => {
      await tx.query('', [1])
      await tx.query(insert, ['sender', event.sequence])
    },
  )
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  for (const note of ['a', 'b', 'c']) {
    const { sequence } = await app.publish(noted({ note }))
    await app.waitFor(listener, sequence)
  }
  expect(await notesOf(database, 'sender')).toEqual(['a', 'b', 'c'])
})
