import { openStore, type StateBackend } from '@tidemark/stores'
import { exceptions, testStateStore, type ConformanceSubject } from '@tidemark/stores/conformance'
import { PostgresBackend, postgresStore } from '@tidemark/stores/postgres'
import { startPostgres, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import { migrateUp, type Executor } from 'tidemark'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { testAgainstMemory } from './against-memory.ts'

let server: PostgresServer
let proxy: TcpProxy

beforeAll(async () => {
  server = await startPostgres()
  await migrateUp({ connectionString: server.url(), schema: 'Kept' })
  proxy = await TcpProxy.open(server.url())
  proxy.latency = 1
})
afterAll(async () => {
  await proxy[Symbol.asyncDispose]()
  await server.stop()
})

/** With connections of its own, as another process has them. */
function backend(): StateBackend {
  const database = new pg.Pool({
    connectionString: proxy.url,
    max: 3,
    connectionTimeoutMillis: 2_000,
  })
  // A connection that ends while nobody uses it is no error: the next one is made anew.
  database.on('error', () => {})
  const made = new PostgresBackend(database, 'Kept', 'conformance')
  return Object.assign(made, { close: () => database.end() })
}

const subject: ConformanceSubject = {
  open: (options) => openStore(backend(), options),
  backend,
  kill: () => server.kill(),
  startAgain: () => server.restart(),
  freeze: () => void proxy.freeze(/^/u),
  thaw: () => proxy.thaw(),
}

testStateStore('postgres', () => subject, { without: exceptions.postgres })

describe('against memory', () => {
  let pool: pg.Pool
  beforeAll(() => {
    pool = new pg.Pool({ connectionString: server.url(), max: 3 })
  })
  afterAll(() => pool.end())
  testAgainstMemory((name, options) =>
    postgresStore({ ...options, database: pool, schema: 'Kept', name }),
  )
})

test('a server that is being switched over takes no write, and is asked again until it does', async () => {
  const connectionString = server.url()
  const options = '-c default_transaction_read_only=on'
  const [standby, primary] = [
    new pg.Pool({ connectionString, options }),
    new pg.Pool({ connectionString }),
  ]
  let asked = 0
  const switched = {
    query: (text: string, values?: unknown[]) =>
      (asked++ === 0 ? standby : primary).query(text, values),
  }
  try {
    const storeOf = (database: Executor, timeout: number) =>
      openStore(new PostgresBackend(database, 'Kept', 'switched'), { timeout })
    await expect(storeOf(standby, 1_000).put('a', { value: 1 })).rejects.toMatchObject({
      code: 'TIDEMARK_STORE_UNAVAILABLE',
      message: expect.stringContaining('read-only') as unknown,
    })
    expect(await storeOf(switched, 60_000).put('a', { value: 2 })).toMatchObject({
      value: 2,
      version: 1,
    })
    expect(asked).toBe(2)
  } finally {
    await Promise.all([standby.end(), primary.end()])
  }
})

test('a pool whose application reads types in its own way is as good as any other', async () => {
  const isText = (oid: number): boolean => oid === 25 || oid === 1043
  const types: pg.CustomTypesConfig = {
    getTypeParser: ((oid: number) => (text: string) =>
      isText(oid) ? text : { text }) as pg.CustomTypesConfig['getTypeParser'],
  }
  const pool = new pg.Pool({
    connectionString: server.url(),
    types,
  })
  try {
    await using store = postgresStore({ database: pool, schema: 'Kept', name: 'typed' })
    await store.create('a', { value: 1, fields: { rows: 1.5 }, ttl: 60_000 }, { token: 3n })
    await store.update('a', { value: 2 }, { token: 3n, ifVersion: 1 })
    expect(await store.get('a')).toMatchObject({ value: 2, version: 2, token: 3n })
    const { states } = await store.list({ fields: { rows: 1.5 } })
    expect(states.map(({ key }) => key)).toEqual(['a'])
    expect(await store.delete('a', { token: 3n })).toBe(true)
    expect(await store.get('a')).toBeUndefined()
  } finally {
    await pool.end()
  }
})

test.for([undefined, 'postgres://localhost', Promise.resolve(new pg.Pool())])(
  'what is no pool is refused: %o',
  (database) => {
    expect(() => postgresStore({ database: database as never })).toThrow(
      expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }),
    )
  },
)
