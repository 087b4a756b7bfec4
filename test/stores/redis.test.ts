import { openStore, type StateBackend } from '@tidemark/stores'
import { exceptions, testStateStore } from '@tidemark/stores/conformance'
import { RedisBackend, redisStore, type RedisClient } from '@tidemark/stores/redis'
import { Redis } from 'ioredis'
import { createClient, RESP_TYPES } from 'redis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { testAgainstMemory } from './against-memory.ts'
import { eachRequest } from './each-request.ts'
import { redisPrograms, RedisServer } from './redis-server.ts'

const programs = redisPrograms()
if (programs.length === 0) console.log('Redis is not tested: redis-server is not installed here')

/** A client with what closes it. */
interface Client {
  readonly client: RedisClient
  readonly close: () => void
}

const libraries: Readonly<Record<string, (url: string) => Client>> = {
  ioredis: (url) => {
    const client = new Redis(url, { retryStrategy: () => 50, maxRetriesPerRequest: null })
    // It connects again by itself.
    client.on('error', () => {})
    return { client, close: () => client.disconnect() }
  },
  redis: (url) => {
    const client = createClient({ url, socket: { reconnectStrategy: () => 50 } })
    client.on('error', () => {})
    // Commands wait for it.
    const connecting = client.connect().catch(() => {})
    return { client, close: () => void connecting.then(() => client.destroy()) }
  },
}

const ofIoredis = async (client: Redis): Promise<Client> => ({
  client,
  close: () => client.disconnect(),
})

const nodeRedis = (options: object) => async (url: string) => {
  const client = await createClient({ ...options, url }).connect()
  return { client, close: () => client.destroy() }
}

/** What a command is answered on a bad day, when nothing is done. */
const answers: readonly string[] = [
  'Connection is closed.',
  "READONLY You can't write against a read only replica.",
  'LOADING Redis is loading the dataset in memory',
  "OOM command not allowed when used memory > 'maxmemory'.",
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
  'MISCONF Redis is configured to save RDB snapshots, but it is currently unable to persist',
  'NOREPLICAS Not enough good replicas to write.',
  'CLUSTERDOWN The cluster is down',
  'TRYAGAIN Multiple keys request during rehashing of slot',
  'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.',
  'NOSCRIPT No matching script. Please use EVAL.',
  'ERR max number of clients reached',
  // As Redis 6.2 says it.
  "ERR Error running script (call to f_1): @user_script:39: @user_script: 39: -READONLY You can't write against a read only replica.",
  "ERR Error running script (call to f_1): @user_script:39: -OOM command not allowed when used memory > 'maxmemory'.",
]

for (const program of programs) {
  describe.each(Object.entries(libraries))(`${program} by %s`, (name, connect) => {
    let server: RedisServer
    let proxy: TcpProxy
    beforeAll(async () => {
      server = await RedisServer.start(program)
      proxy = await TcpProxy.open(server.url)
      proxy.latency = 1
    })
    afterAll(async () => {
      await proxy[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    })

    const backend = (): StateBackend => {
      const { client, close } = connect(proxy.url)
      return Object.assign(new RedisBackend(client, 'conformance'), { close: async () => close() })
    }
    const subject = () => ({
      open: (options = {}) => openStore(backend(), options),
      backend,
      kill: () => server.kill(),
      startAgain: () => server.startAgain(),
      freeze: () => void proxy.freeze(/^/u),
      thaw: () => proxy.thaw(),
    })
    testStateStore(name, subject, { without: exceptions.redis })

    test('scripts that are flushed are sent again, and a server that has become a replica says so', async () => {
      await using store = subject().open()
      await using hurried = subject().open({ timeout: 300 })
      const operator = new Redis(server.url)
      try {
        const token = 2n ** 63n - 1n
        await store.put('flushed', { value: 1 }, { token })
        await operator.script('FLUSH')
        expect((await store.put('flushed', { value: 2 }, { token })).version).toBe(2)
        await expect(
          store.put('flushed', { value: 3 }, { token: token - 1n }),
        ).rejects.toMatchObject({
          code: 'TIDEMARK_STATE_FENCED',
        })
        await operator.replicaof('127.0.0.1', 1)
        await expect(hurried.put('flushed', { value: 4 }, { token })).rejects.toMatchObject({
          code: 'TIDEMARK_STORE_UNAVAILABLE',
          message: expect.stringContaining('READONLY') as unknown,
        })
        expect((await store.get('flushed'))?.value).toBe(2)
        const waiting = store.put('flushed', { value: 5 }, { token })
        await operator.replicaof('NO', 'ONE')
        expect(await waiting).toMatchObject({ value: 5, version: 3 })
      } finally {
        operator.disconnect()
      }
    })

    test('a server without memory takes no write, keeps what it has, and lets go of what is deleted', async () => {
      await using store = subject().open()
      await using hurried = subject().open({ timeout: 300 })
      const operator = new Redis(server.url)
      const full = { code: 'TIDEMARK_STORE_UNAVAILABLE', message: expect.stringContaining('OOM') }
      try {
        await store.put('full', { value: 1, status: 'before', ttl: 3_600_000 })
        await store.put('goes', { value: 1 })
        await operator.config('SET', 'maxmemory', '1')
        await expect(hurried.create('new', { value: 1 })).rejects.toMatchObject(full)
        await expect(hurried.put('full', { value: 2, status: 'after' })).rejects.toMatchObject(full)
        expect(await store.get('full')).toMatchObject({ value: 1, status: 'before', version: 1 })
        expect((await store.list({ status: 'before' })).states).toHaveLength(1)
        expect(await store.delete('goes')).toBe(true)
        await operator.config('SET', 'maxmemory', '0')
        const { status, expiresAt } = await store.put('full', { value: 2, status: 'after' })
        expect([status, expiresAt]).toEqual(['after', null])
      } finally {
        await operator.config('SET', 'maxmemory', '0')
        operator.disconnect()
      }
    })

    test('a replica lists, although it must not tidy up what it passes by', async () => {
      await using forgetful = subject().open({ remember: 0 })
      const operator = new Redis(server.url)
      try {
        await forgetful.create('ended', { value: 1, status: 'replicated', ttl: 1 })
        await forgetful.create('there', { value: 2, status: 'replicated' })
        await vi.waitFor(async () => expect(await forgetful.get('ended')).toBeUndefined())
        await operator.replicaof('127.0.0.1', 1)
        const { states } = await forgetful.list({ status: 'replicated' })
        expect(states.map(({ key }) => key)).toEqual(['there'])
      } finally {
        await operator.replicaof('NO', 'ONE')
        operator.disconnect()
      }
    })
  })

  describe(program, () => {
    let server: RedisServer
    let redis: Redis
    beforeAll(async () => {
      server = await RedisServer.start(program)
      redis = new Redis(server.url)
    })
    afterAll(async () => {
      redis.disconnect()
      await server[Symbol.asyncDispose]()
    })

    testAgainstMemory((run, options) => redisStore({ ...options, client: redis, prefix: run }))

    test.each<{ what: string; open: (url: string) => Promise<Client> }>([
      {
        what: 'puts a prefix before keys',
        open: (url) => ofIoredis(new Redis(url, { keyPrefix: 'app:' })),
      },
      {
        what: 'answers numbers as texts',
        open: (url) => ofIoredis(new Redis(url, { stringNumbers: true })),
      },
      { what: 'speaks RESP3', open: nodeRedis({ RESP: 3 }) },
      {
        what: 'answers bytes',
        open: nodeRedis({ commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } } }),
      },
    ])('a client that $what is as good as any other', async ({ what, open }) => {
      const { client, close } = await open(server.url)
      try {
        const store = redisStore({ client, prefix: what })
        await store.create('a', { value: 1, status: 'before', ttl: 1 })
        await vi.waitFor(async () => expect(await store.get('a')).toBeUndefined())
        expect(await store.sweep()).toBe(1)
        await store.put('a', { value: 2, status: 'before' }, { token: 1n })
        await store.update('a', { status: 'now' }, { token: 1n })
        expect(await store.get('a')).toMatchObject({ value: 2, version: 3, token: 1n })
        await expect(store.create('a', { value: 3 }, { token: 1n })).rejects.toMatchObject({
          code: 'TIDEMARK_STATE_EXISTS',
        })
        const found = await Promise.all([
          store.list(),
          store.list({ status: 'now' }),
          store.list({ status: 'before' }),
        ])
        expect(found.map(({ states }) => states.map(({ key }) => key))).toEqual([['a'], ['a'], []])
      } finally {
        close()
      }
    })

    let days = 0
    test.each([
      { what: 'happens without an answer', answer: 'Command timed out', happens: true },
      ...answers.map((answer) => ({ what: `is answered "${answer}"`, answer, happens: false })),
    ])(
      'whichever command it is that $what, each write happens once, and what is read is right',
      async ({ answer, happens }) => {
        const most = await eachRequest((broken) => {
          days += 1
          let commands = 0
          const client: RedisClient = {
            duplicate: () => redis.duplicate(),
            call: async (command, ...args) => {
              const breaks = commands++ === broken
              if (breaks && !happens) throw new Error(answer)
              const done = await redis.call(command, ...args)
              if (breaks) throw new Error(answer)
              return done
            },
          }
          return { store: redisStore({ client, prefix: `day-${days}` }), requests: () => commands }
        })
        expect(most).toBeGreaterThan(6)
      },
    )
  })
}
