import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { checkLeaks, createTestDatabase, leakBaseline, type TestDatabase } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { expect, test } from 'vitest'

// Each test here leaks on purpose, looks, and then cleans up; the fixture's own check comes after that.
const database = useTestDatabase()

/** What a check finds, with hardly any patience: what leaks here does not go away by itself. */
async function leaksOf(
  checked: TestDatabase,
  options: Parameters<typeof checkLeaks>[1] = {},
): Promise<string> {
  const error = await checkLeaks(checked, { grace: 0, ...options }).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ code: 'TIDEMARK_TESTING_LEAK' })
  return (error as Error).message
}

test('nothing is left: no complaint', async () => {
  await using own = await createTestDatabase()
  const baseline = await leakBaseline(own)
  await own.query('select 1')
  await using client = await disposable(own)
  await client.client.query('select 1')
  await client[Symbol.asyncDispose]()
  await expect(checkLeaks(own, { baseline })).resolves.toBeUndefined()
})

test('a connection that stays open is named with its application and last statement', async () => {
  await using own = await createTestDatabase()
  const stray = new pg.Client({ connectionString: own.url, application_name: 'stray' })
  await stray.connect()
  await stray.query('select 42 as answer')
  const { rows } = await stray.query<{ pid: number }>('select pg_backend_pid() as pid')
  expect(await leaksOf(own)).toContain(
    `connection ${rows[0]?.pid} of "stray", idle, last statement: select pg_backend_pid() as pid`,
  )
  await checkLeaks(own, { grace: 0, allowedApplications: ['stray'] })
  await stray.end()
  await checkLeaks(own)
})

test('a connection that was there before is no leak', async () => {
  await using own = await createTestDatabase()
  await using before = await disposable(own)
  const baseline = await leakBaseline(own)
  await checkLeaks(own, { grace: 0, baseline })
  await using during = await disposable(own)
  expect(await leaksOf(own, { baseline })).toContain('of "tidemark test client"')
  expect(before.client).not.toBe(during.client)
})

test('a client of the pool that was not given back is found', async () => {
  await using own = await createTestDatabase()
  const taken = await own.pool.connect()
  expect(await leaksOf(own)).toContain("1 client(s) of the database's pool not given back")
  taken.release()
  await checkLeaks(own)
})

test('an open transaction is found, also in an application that may stay connected', async () => {
  await using own = await createTestDatabase()
  await using connection = await disposable(own)
  await connection.client.query('begin')
  await connection.client.query('select 1')
  const options = { allowedApplications: ['tidemark test client'] }
  expect(await leaksOf(own, options)).toMatch(
    /transaction of connection \d+ \("tidemark test client"\), open for \d+\.\d s, idle in transaction/,
  )
  await connection.client.query('rollback')
  await checkLeaks(own, options)
})

test('a prepared transaction is found by its name', async () => {
  await using own = await createTestDatabase()
  await own.query('create table t (n int)')
  const client = await own.connect()
  await client.query("begin; insert into t values (1); prepare transaction 'left over'")
  await client.end()
  expect(await leaksOf(own)).toContain("prepared transaction 'left over'")
  await own.query("rollback prepared 'left over'")
  await checkLeaks(own)
})

test('advisory locks are found with their keys and holders', async () => {
  await using own = await createTestDatabase()
  await using connection = await disposable(own)
  await connection.client.query(
    'select pg_advisory_lock(8589934593), pg_advisory_lock_shared(7, -8)',
  )
  const message = await leaksOf(own, { allowedApplications: ['tidemark test client'] })
  expect(message).toMatch(/advisory lock 8589934593 \(ExclusiveLock\), held by connection \d+/)
  expect(message).toMatch(/advisory lock \(7, -8\) \(ShareLock\), held by connection \d+/)
})

test('a lock of a database next door is none of its business', async () => {
  await using own = await createTestDatabase()
  await using next = await createTestDatabase()
  await using connection = await disposable(next)
  await connection.client.query('begin; select pg_advisory_lock(1)')
  await expect(checkLeaks(own, { grace: 0 })).resolves.toBeUndefined()
})

test('a lease that was not released is found, one that has expired is not', async () => {
  await database.query("insert into tidemark.listeners (name, kind) values ('letters', 'listener')")
  const owner = '0a0a0a0a-0000-4000-8000-000000000000'
  await database.query(
    `insert into tidemark.cursors (listener, owner, lease_until)
     values ('letters', $1, now() + interval '1 minute')`,
    [owner],
  )
  expect(await leaksOf(database)).toContain(
    `lease on "letters", partition 0, held by process ${owner}`,
  )
  await database.query("update tidemark.cursors set lease_until = now() - interval '1 second'")
  await checkLeaks(database, { grace: 0 })
})

test('timers and servers that keep the process running are found', async () => {
  await using own = await createTestDatabase()
  const baseline = await leakBaseline(own)
  const stop = new AbortController()
  const timers = [setInterval(() => undefined, 60_001), setTimeout(() => undefined, 60_002)]
  delay(60_003, undefined, { signal: stop.signal }).catch(() => undefined)
  setTimeout(() => undefined, 60_004).unref()
  clearTimeout(setTimeout(() => undefined, 60_005))
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')

  const message = await leaksOf(own, { baseline })
  expect(message).toMatch(/timer of 60001 ms, started at .*check-leaks\.test\.ts/)
  expect(message).toMatch(/timer of 60002 ms, started at .*check-leaks\.test\.ts/)
  expect(message).toMatch(/timer of 60003 ms, started at .*check-leaks\.test\.ts/)
  expect(message.match(/timer of/g)).toHaveLength(3)
  expect(message).toContain('1 TCP server more than before the test (TCPServerWrap)')

  for (const timer of timers) clearTimeout(timer)
  stop.abort()
  server.close()
  await checkLeaks(own, { baseline })
})

test('a check waits for what is still closing', async () => {
  await using own = await createTestDatabase()
  const client = await own.connect()
  const baseline = await leakBaseline(own)
  const during = await own.connect()
  const check = checkLeaks(own, { baseline })
  // Ended while the check is looking.
  await during.end()
  await expect(check).resolves.toBeUndefined()
  await client.end()
})

async function disposable(
  own: TestDatabase,
): Promise<AsyncDisposable & { readonly client: pg.Client }> {
  const client = await own.connect()
  return { client, [Symbol.asyncDispose]: () => client.end() }
}
