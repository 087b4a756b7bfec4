import { defineProjection, type RecordedEvent } from 'tidemark'
import { expect, test } from 'vitest'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { blob } from './blob.ts'

const database = useFreshDatabase()
const text = 'a text of one megabyte that compresses well; '.repeat(23_302)

const large = (count: number, first = 0) =>
  Array.from({ length: count }, (_, n) => blob({ n: first + n, text }))

const ordered = async (count: number): Promise<void> => {
  const { rows } = await database.query<{ n: number }>(
    `select (payload -> 'n')::integer as n from tidemark.events order by sequence`,
  )
  expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: count }, (_, n) => n))
}

/** Counts the INSERTs that go through a connection that is somebody else's. */
async function insertsOf(count: number): Promise<number> {
  await using app = appOn(database, [blob])
  const client = await database.connect()
  let inserts = 0
  const tx = {
    query: (query: string, values?: unknown[]) => {
      if (/insert into/iu.test(query)) inserts += 1
      return client.query(query, values)
    },
  }
  await client.query('begin')
  await app.publish(large(count), { tx: tx as never })
  await client.query('rollback')
  await client.end()
  return inserts
}

test('40 events of 1 MB are inserted by several statements, and by one where they fit', async () => {
  expect(await insertsOf(40)).toBe(3)
  expect(await insertsOf(10)).toBe(1)
  await ordered(0)
})

test('40 events of 1 MB are published together, alone or in a transaction, or not at all', async () => {
  await using app = appOn(database, [blob])
  await app.publish(large(40))
  await app.transaction(async (tx) => tx.publish(large(40, 40)))
  await ordered(80)
  // The last of them is refused, when the others are inserted already.
  await database.query(
    `alter table tidemark.events add constraint small check ((payload -> 'n')::integer < 119)`,
  )
  await expect(app.publish(large(40, 80))).rejects.toThrow(/small/u)
  await expect(app.transaction(async (tx) => tx.publish(large(40, 80)))).rejects.toThrow(/small/u)
  await ordered(80)
})

test('2,500 events of one transaction reach inline projections page by page, in order', async () => {
  const batches: number[] = []
  const total = defineProjection('total', { version: 1, mode: 'inline', initial: () => 0 }).on(
    blob,
    (sum, event) => (event.payload.n === sum ? sum + 1 : Number.NaN),
  )
  const table = defineProjection('table', {
    version: 1,
    mode: 'inline',
    tables: ['seen'],
  }).batch([blob], async (events: readonly RecordedEvent[], { tx }) => {
    batches.push(events.length)
    await tx.query('insert into seen select unnest($1::bigint[])', [
      events.map(({ sequence }) => sequence),
    ])
  })
  await database.query('create table seen (sequence bigint primary key)')
  await using app = appOn(database, [total, table])
  await app.publish(Array.from({ length: 2_500 }, (_, n) => blob({ n, text: '' })))
  expect(await app.read(total)).toBe(2_500)
  expect(batches).toEqual([1_000, 1_000, 500])
  await app.publish(Array.from({ length: 5 }, (_, n) => blob({ n: 2_500 + n, text })))
  expect(await app.read(total)).toBe(2_505)
  const { rows } = await database.query('select count(*)::integer as n from seen')
  expect(rows).toEqual([{ n: 2_505 }])
})
