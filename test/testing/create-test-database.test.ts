import { createTestDatabase, startPostgres, type TestDatabase } from '@tidemark/testing'
import pg from 'pg'
import { migrationStatus } from 'tidemark'
import { afterAll, beforeAll, expect, test } from 'vitest'

/** A server of its own, so that what is counted on it was made here. */
let server: Awaited<ReturnType<typeof startPostgres>>

beforeAll(async () => {
  server = await startPostgres({ source: 'embedded', settings: { max_connections: '60' } })
})

afterAll(async () => {
  await server.stop()
})

test('a test database has all migrations', async () => {
  await using database = await createTestDatabase({ server })
  const status = await migrationStatus({ connectionString: database.url })
  expect(status.length).toBeGreaterThan(0)
  expect(status.filter(({ state }) => state !== 'applied')).toEqual([])
  expect(database.schema).toBe('tidemark')
  const { rows } = await database.query<{ name: string }>('select current_database() as name')
  expect(rows).toEqual([{ name: database.name }])
})

test('databases made at the same time share one template and nothing else', async () => {
  await using databases = await several(8, () =>
    createTestDatabase({ server, schema: 'side_by_side' }),
  )
  await Promise.all(
    databases.all.map((database, index) =>
      database.query(`create table mine as select ${index} as n`),
    ),
  )
  for (const [index, database] of databases.all.entries()) {
    expect((await database.query('select n from mine')).rows).toEqual([{ n: index }])
  }
  const { rows } = await admin('select datname from pg_database where datname ~ $1', [
    '^tidemark_template_.*',
  ])
  // One for this schema and at most one for the schema of the other tests here; no unfinished ones.
  expect(rows.length).toBeLessThanOrEqual(2)
  expect(rows.filter(({ datname }) => String(datname).endsWith('_draft'))).toEqual([])
})

test('a template of the application is prepared once', async () => {
  let prepared = 0
  const template = {
    key: 'accounts-1',
    prepare: async (connectionString: string) => {
      prepared += 1
      await using setup = await connectTo(connectionString)
      await setup.client.query(
        'create table accounts (id int primary key); insert into accounts values (1)',
      )
    },
  }
  await using first = await createTestDatabase({ server, template })
  await using second = await createTestDatabase({ server, template })
  await first.query('insert into accounts values (2)')
  expect((await second.query('select id from accounts')).rows).toEqual([{ id: 1 }])
  expect(prepared).toBe(1)

  await using other = await createTestDatabase({
    server,
    template: { ...template, key: 'accounts-2' },
  })
  expect((await other.query('select id from accounts')).rows).toEqual([{ id: 1 }])
  expect(prepared).toBe(2)
})

test('a template that was left half-made is made again', async () => {
  let fails = true
  const template = {
    key: 'half-made',
    prepare: async () => {
      if (fails) throw new Error('on purpose')
    },
  }
  await expect(createTestDatabase({ server, template })).rejects.toThrow('on purpose')
  fails = false
  await using database = await createTestDatabase({ server, template })
  expect((await database.query('select count(*)::int as n from tidemark.events')).rows).toEqual([
    { n: 0 },
  ])
})

test('an empty database has no tables of Tidemark', async () => {
  await using database = await createTestDatabase({ server, migrate: false })
  const { rows } = await database.query("select to_regclass('tidemark.events') as events")
  expect(rows).toEqual([{ events: null }])
})

test('a database is gone with whatever was still connected to it', async () => {
  const database = await createTestDatabase({ server })
  const taken = await database.pool.connect()
  const broken = new Promise<Error>((resolve) => taken.once('error', resolve))
  const client = await database.connect()
  await client.query('begin')
  await database[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()

  expect(await broken).toBeInstanceOf(Error)
  taken.release(true)
  expect(await databasesNamed(database.name)).toBe(0)
})

test('a database can be disposed of after the test has ended its pool and clients', async () => {
  const database = await createTestDatabase({ server })
  const client = await database.connect({ application_name: 'a name of its own' })
  const { rows } = await client.query("select current_setting('application_name') as name")
  expect(rows).toEqual([{ name: 'a name of its own' }])
  await client.end()
  await database.query('select 1')
  await database.pool.end()
  await database[Symbol.asyncDispose]()
  expect(await databasesNamed(database.name)).toBe(0)
})

async function databasesNamed(name: string): Promise<unknown> {
  const { rows } = await admin('select count(*)::int as n from pg_database where datname = $1', [
    name,
  ])
  return rows[0]?.['n']
}

async function admin(
  text: string,
  values: unknown[],
): Promise<{ rows: Record<string, unknown>[] }> {
  await using connection = await connectTo(server.url())
  return await connection.client.query<Record<string, unknown>>(text, values)
}

async function connectTo(
  connectionString: string,
): Promise<AsyncDisposable & { readonly client: pg.Client }> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  return { client, [Symbol.asyncDispose]: () => client.end() }
}

async function several(
  count: number,
  make: () => Promise<TestDatabase>,
): Promise<AsyncDisposable & { readonly all: readonly TestDatabase[] }> {
  const all = await Promise.all(Array.from({ length: count }, make))
  return {
    all,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(all.map((database) => database[Symbol.asyncDispose]()))
    },
  }
}
