import { redisLocks, type RedisCaller } from '@tidemark/stores/redis-lock'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { defineEvent, type App, type LockStore } from 'tidemark'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { redisPrograms, RedisServer } from './redis-server.ts'

const [program] = redisPrograms()
if (program === undefined)
  console.log('Locks in Redis are not tested: redis-server is not installed here')
const unused = defineEvent('unused', { payload: z.object({}) })
const lost = { code: 'TIDEMARK_LOCK_LOST' }

/** A client with what closes it. */
interface Client {
  readonly client: RedisCaller
  readonly close: () => void
}

const libraries: Readonly<Record<string, (url: string) => Client>> = {
  ioredis: (url) => {
    // A command fails soon where the server is away: what is late is of no use to a lock.
    const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: 1 })
    client.on('error', () => {})
    return { client, close: () => client.disconnect() }
  },
  'ioredis that answers numbers as texts': (url) => {
    const client = new Redis(url, { stringNumbers: true, maxRetriesPerRequest: 1 })
    client.on('error', () => {})
    return { client, close: () => client.disconnect() }
  },
  redis: (url) => {
    const client = createClient({ url, socket: { reconnectStrategy: () => 50 } })
    client.on('error', () => {})
    const connecting = client.connect().catch(() => {})
    return { client, close: () => void connecting.then(() => client.destroy()) }
  },
}

describe.skipIf(program === undefined).each(Object.entries(libraries))('by %s', (_, connect) => {
  let server: RedisServer
  let database: TestDatabase
  let connection: Client
  let store: LockStore
  let book: LogBook
  let app: App

  beforeAll(async () => {
    server = await RedisServer.start(program as string)
    database = await createTestDatabase()
  })
  beforeEach(() => {
    connection = connect(server.url)
    store = redisLocks(connection.client)
    book = new LogBook()
    app = appOn(database, [unused], { locks: { store }, logger: book })
  })
  afterEach(async () => {
    await app.close()
    connection.close()
  })
  afterAll(async () => {
    await database[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })

  test('one of many gets the lock, the others are skipped with a warning, and tokens grow', async () => {
    const goOn = Promise.withResolvers<void>()
    const calls = Array.from({ length: 10 }, () =>
      app.jobs.withLock('one of ten', {}, async ({ token }) => {
        await goOn.promise
        return token
      }),
    )
    await book.wrote(/skipped: another holds the lock "one of ten"/u)
    // The other nine have been told.
    await vi.waitUntil(() => book.entries.length === 9, { timeout: 20_000 })
    goOn.resolve()
    const results = await Promise.all(calls)
    expect(results.filter(({ held }) => held)).toHaveLength(1)
    const first = results.find(({ held }) => held)?.value ?? 0n
    const next = await app.jobs.withLock('one of ten', {}, ({ token }) => token)
    expect(next.value).toBeGreaterThan(first)
  })

  test('it is renewed for as long as its holder works', async () => {
    const renewed = Promise.withResolvers<void>()
    let renewals = 0
    const counting: LockStore = {
      ...store,
      renew: async (...given) => {
        const held = await store.renew(...given)
        renewals += 1
        // By then it would have ended without them.
        if (renewals === 4) renewed.resolve()
        return held
      },
    }
    const done = await app.jobs.withLock('renewed', { ttl: '1s', store: counting }, async () => {
      await renewed.promise
      return await store.acquire('renewed', 1000)
    })
    expect(done).toEqual({ held: true, value: undefined })
  })

  test('a holder whose lock has gone to another learns of it, and whoever checks tokens refuses it', async () => {
    // What the lock guards: a row that remembers the greatest token that has written it.
    const guarded = { token: 0n, by: '' }
    const write = (token: bigint, by: string): boolean => {
      if (token < guarded.token) return false
      Object.assign(guarded, { token, by })
      return true
    }
    let zombie = 0n
    const late = app.jobs.withLock('guarded', { ttl: 400 }, async ({ token, signal }) => {
      zombie = token
      write(token, 'first')
      // As an operator does, or a server that has forgotten.
      await store.release('guarded', token)
      const second = await store.acquire('guarded', 60_000)
      expect(write(second as bigint, 'second')).toBe(true)
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    })
    await expect(late).rejects.toMatchObject(lost)
    expect(write(zombie, 'zombie')).toBe(false)
    expect(guarded.by).toBe('second')
    // The late holder has given back nothing that was not its own.
    expect(await store.acquire('guarded', 1000)).toBeUndefined()
  })

  test('when the server is away the holder believes no longer than its lock lasts, and tokens still grow', async () => {
    let before = 0n
    const held = app.jobs.withLock('away', { ttl: 500 }, async ({ token, signal }) => {
      before = token
      await server.kill()
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await server.startAgain()
    })
    await expect(held).rejects.toMatchObject(lost)
    // It has lost its memory, as a replica has that takes over too early.
    await evaluateFlush(connection.client)
    const after = await store.acquire('away', 1000)
    expect(after).toBeGreaterThan(before)
  })

  test('a token that does not hold the lock renews and releases nothing', async () => {
    const token = (await store.acquire('mine', 60_000)) as bigint
    expect(await store.renew('mine', token - 1n, 1000)).toBe(false)
    await store.release('mine', token - 1n)
    expect(await store.acquire('mine', 1000)).toBeUndefined()
    expect(await store.renew('mine', token, 60_000)).toBe(true)
    await store.release('mine', token)
    expect(await store.renew('mine', token, 60_000)).toBe(false)
    expect(await store.acquire('mine', 1000)).toBeGreaterThan(token)
  })
})

test('what is no client is refused', () => {
  const none = {} as RedisCaller
  expect(() => redisLocks(none)).toThrow(/TIDEMARK_INVALID_OPTION/u)
  const options = { perfix: 'x' } as never
  expect(() => redisLocks({ call: async () => null }, options)).toThrow(/no option "perfix"/u)
})

async function evaluateFlush(client: RedisCaller): Promise<void> {
  await ('call' in client ? client.call('FLUSHALL') : client.sendCommand(['FLUSHALL']))
}
