import { createTestDatabase, startPostgres } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SpareDatabases } from '../../packages/testing/src/database/spares.ts'

/** A server of its own, so that what is counted on it was made here. */
let server: Awaited<ReturnType<typeof startPostgres>>

beforeAll(async () => {
  server = await startPostgres({ source: 'embedded' })
})

afterAll(async () => {
  await server.stop()
})

test('databases are cloned ahead of whoever asks, once somebody has, and nobody gets another one', async () => {
  await using _ = await SpareDatabases.keep(server.url())
  await using first = await createTestDatabase({ server })
  await expect.poll(spares, { timeout: 30_000 }).toHaveLength(3)

  const ready = await oids()
  const taken = await Promise.all([1, 2, 3].map(() => createTestDatabase({ server })))
  for (const database of taken) {
    const { rows } = await database.query<{ oid: number; events: number }>(
      `select oid::integer, (select count(*)::integer from tidemark.events) as events
       from pg_database where datname = current_database()`,
    )
    expect(ready).toContain(rows[0]?.oid)
    expect(rows[0]?.events).toBe(0)
  }
  expect(new Set([first, ...taken].map(({ name }) => name)).size).toBe(4)
  await Promise.all(taken.map((database) => database[Symbol.asyncDispose]()))
})

test('none is left when their keeper ends, nor when its connection was lost', async () => {
  const keeper = await SpareDatabases.keep(server.url())
  {
    await using _ = await createTestDatabase({ server })
    await expect.poll(spares, { timeout: 30_000 }).toHaveLength(3)
  }
  await keeper[Symbol.asyncDispose]()
  expect(await spares()).toEqual([])

  const cut = await SpareDatabases.keep(server.url())
  await admin(
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'tidemark testing spares'",
  )
  await using database = await createTestDatabase({ server })
  expect((await database.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await cut[Symbol.asyncDispose]()
})

describe('a database for each test', () => {
  const database = useTestDatabase({ scope: 'test' })
  const names = new Set<string>()

  test.each([1, 2, 3])('number %i is empty', async () => {
    const { rows } = await database.query('select count(*)::integer as n from tidemark.locks')
    expect(rows).toEqual([{ n: 0 }])
    await database.query(
      `insert into tidemark.locks (key, token, holder, held_until) select 'mine', 1, gen_random_uuid(), now()`,
    )
    names.add(database.name)
  })

  test('they were three', () => {
    expect(names.size).toBe(3)
  })
})

test('another scope is refused', () => {
  expect(() => useTestDatabase({ scope: 'suite' as 'test' })).toThrow(/scope is "suite"/)
})

async function spares(): Promise<string[]> {
  const rows = await admin("select datname from pg_database where datname ~ '^tidemark_spare_'")
  return rows.map(({ datname }) => String(datname))
}

async function oids(): Promise<number[]> {
  const rows = await admin(
    "select oid::integer from pg_database where datname ~ '^tidemark_spare_'",
  )
  return rows.map(({ oid }) => Number(oid))
}

async function admin(text: string): Promise<Record<string, unknown>[]> {
  const client = await connect(server.url())
  try {
    return (await client.query<Record<string, unknown>>(text)).rows
  } finally {
    await client.end()
  }
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString })
  client.on('error', () => undefined)
  await client.connect()
  return client
}
