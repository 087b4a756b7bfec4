import { defineProjection, toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const seen = defineProjection('seen', {
  version: 1,
  tables: ['note_counts'],
  retry: { attempts: 2, backoff: () => 5 },
}).on(noted, async (event, { tx }) => {
  await tx.query(
    `insert into note_counts as c (note, times) values ($1, 1)
     on conflict (note) do update set times = c.times + 1`,
    [event.payload.note],
  )
  if (event.payload.note === 'bad') throw new Error('after writing')
})

async function counts(): Promise<Record<string, number>> {
  const { rows } = await database.query<{ note: string; times: number }>(
    'select note, times from note_counts',
  )
  return Object.fromEntries(rows.map(({ note, times }) => [note, times]))
}

test('a table projection counts every event once, is reset to the same, and can be reset twice', async () => {
  await database.query('create table note_counts (note text primary key, times integer not null)')
  await using app = appOn(database, [seen])
  await app.start({ acquireInterval: 50, leaseDuration: 1_000 })
  const published = await app.publish(
    Array.from({ length: 60 }, (_, n) => noted({ note: `note ${n % 3}` })),
  )
  const last = toEventSequence(published.at(-1)?.sequence ?? 0)
  await app.waitFor(seen, last)
  const expected = { 'note 0': 20, 'note 1': 20, 'note 2': 20 }
  expect(await counts()).toEqual(expected)
  for (let time = 1; time <= 2; time++) {
    await app.reset(seen)
    await app.waitFor(seen, last)
    expect(await counts()).toEqual(expected)
  }
  // Publishing goes on in the middle of a reset.
  await app.reset(seen)
  const { sequence } = await app.publish(noted({ note: 'note 0' }))
  await app.waitFor(seen, sequence)
  expect(await counts()).toEqual({ ...expected, 'note 0': 21 })
})

test('what a handler of a table projection wrote before it threw is not kept', async () => {
  await database.query('create table note_counts (note text primary key, times integer not null)')
  await using app = appOn(database, [seen])
  await app.start()
  await app.publish(noted({ note: 'good' }))
  const { sequence } = await app.publish(noted({ note: 'bad' }))
  await expect(app.waitFor(seen, sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect(await counts()).toEqual({ good: 1 })
})

test('a raised version empties the tables and fills them again', async () => {
  await database.query('create table note_counts (note text primary key, times integer not null)')
  {
    await using app = appOn(database, [seen])
    await app.start()
    const { sequence } = await app.publish(noted({ note: 'a' }))
    await app.waitFor(seen, sequence)
  }
  const second = defineProjection('seen', { version: 2, tables: ['note_counts'] }).on(
    noted,
    async (event, { tx }) => {
      await tx.query('insert into note_counts values ($1, 100)', [event.payload.note])
    },
  )
  await using app = appOn(database, [second])
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'b' }))
  await app.waitFor(second, sequence)
  expect(await counts()).toEqual({ a: 100, b: 100 })
})
