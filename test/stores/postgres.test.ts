import { openStore, type StateBackend } from '@tidemark/stores'
import { exceptions, testStateStore, type ConformanceSubject } from '@tidemark/stores/conformance'
import { PostgresBackend } from '@tidemark/stores/postgres'
import { startPostgres, type PostgresServer } from '@tidemark/testing'
import pg from 'pg'
import { migrateUp } from 'tidemark'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TcpProxy } from '../support/tcp-proxy.ts'

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

test('a server that is being switched over takes no write, and is asked again until it does', async () => {
  const pool = new pg.Pool({ connectionString: server.url(), max: 1 })
  try {
    const database = new PostgresBackend(pool, 'Kept', 'switched')
    await using hurried = openStore(database, { timeout: 300 })
    await using store = openStore(database, { timeout: 60_000 })
    await pool.query('SET default_transaction_read_only = on')
    await expect(hurried.put('a', { value: 1 })).rejects.toMatchObject({
      code: 'TIDEMARK_STORE_UNAVAILABLE',
      message: expect.stringContaining('read-only') as unknown,
    })
    const waiting = store.put('a', { value: 2 })
    await pool.query('SET default_transaction_read_only = off')
    expect(await waiting).toMatchObject({ value: 2, version: 1 })
  } finally {
    await pool.end()
  }
})
