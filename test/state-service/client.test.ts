import { createServer, type Socket } from 'node:net'
import { openStore } from '@tidemark/stores'
import { stateClient, type StateClient, type StateClientOptions } from '@tidemark/stores/client'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { silentLogger } from 'tidemark'
import { expect, onTestFinished, test } from 'vitest'
import { heldStore, serve, socketPath } from './served.ts'

interface Job {
  readonly rows: number
}

function client(options: StateClientOptions): StateClient<Job> {
  const made = stateClient<Job>({ logger: silentLogger, ...options })
  onTestFinished(async () => {
    await made[Symbol.asyncDispose]()
  })
  return made
}

const settled = { timeout: 20_000 }

const unreadable = new Proxy(
  {},
  {
    ownKeys: () => {
      throw new RangeError('nobody reads this')
    },
  },
)

/** A store whose backend takes no write while it is away. */
function awayStore() {
  const backend = Object.assign(new MemoryBackend(), { away: true })
  const write = backend.write.bind(backend)
  backend.write = async (what) => {
    if (backend.away) throw new Error('away')
    return write(what)
  }
  backend.isTransient = () => true
  return { backend, store: openStore<Job>(backend, { timeout: 50 }) }
}

test('what is set is held at once, and written in the background; of several, the last', async () => {
  const { store, reached, letGo } = heldStore((_, body) => body.includes('"rows":0'))
  const { socket } = await serve({ store })
  const jobs = client({ socket })
  expect(jobs.set('import-1', { value: { rows: 0 }, status: 'running' })).toBe(true)
  await reached
  for (let rows = 1; rows <= 500; rows += 1) jobs.set('import-1', { value: { rows } })
  expect(jobs.peek('import-1')?.value).toEqual({ rows: 500 })
  expect(jobs.status).toMatchObject({ states: 1, queued: 1, dropped: 0 })
  letGo()
  expect(await jobs.flush()).toBe(true)
  const state = await store.get('import-1')
  expect([state?.value, state?.status, state?.version]).toEqual([{ rows: 500 }, null, 2])
  expect(jobs.status).toMatchObject({ queued: 0, lag: 0, written: 2, connected: true })
})

test('without a service nothing is lost, and nobody waits; it is written when the service comes', async () => {
  const socket = socketPath()
  const jobs = client({ socket })
  for (let index = 0; index < 200; index += 1) {
    jobs.set(`import-${index}`, { value: { rows: index } })
  }
  jobs.remove('import-7')
  await expect.poll(() => jobs.status.failures, settled).toBeGreaterThan(1)
  expect(jobs.status).toMatchObject({ queued: 200, connected: false })
  expect(jobs.status.trouble).toContain('no state service')
  expect(await jobs.get('import-3')).toMatchObject({ value: { rows: 3 } })
  expect(await jobs.get('import-7')).toBeUndefined()
  expect(await jobs.flush(10)).toBe(false)
  const store = memoryStore<Job>()
  await serve({ socket, store })
  expect(await jobs.flush(20_000)).toBe(true)
  const { states } = await store.list({ limit: 1_000 })
  expect(states).toHaveLength(199)
  expect(states.every(({ key, value }) => key === `import-${value.rows}`)).toBe(true)
  expect(jobs.status.trouble).toBeNull()
})

test('sync gives a service back what it has forgotten', async () => {
  const first = await serve()
  const jobs = client({ socket: first.socket })
  for (let index = 0; index < 50; index += 1) jobs.set(`job-${index}`, { value: { rows: index } })
  jobs.set('gone', { value: { rows: 0 } })
  await jobs.flush()
  jobs.remove('gone')
  await jobs.flush()
  await first.stop()
  const store = memoryStore<Job>()
  await store.put('job-3', { value: { rows: -1 } })
  await store.put('job-4', { value: { rows: 4 } })
  await serve({ socket: first.socket, store })
  const report = await jobs.sync()
  expect(report.missing).toHaveLength(48)
  expect(report).toMatchObject({ older: ['job-3'], written: 49, refused: [] })
  const { states } = await store.list({ limit: 1_000 })
  expect(states.filter(({ key, value }) => key === `job-${value.rows}`)).toHaveLength(50)
  expect(await jobs.sync()).toMatchObject({ missing: [], older: [], written: 0 })
})

test('what there is no room for is refused at once, and healed by a source', async () => {
  const socket = socketPath()
  const jobs = client({ socket, mostStates: 10 })
  const all = Array.from(
    { length: 1_200 },
    (_, rows) => [`job-${rows}`, { value: { rows } }] as const,
  )
  const kept = all.filter(([key, state]) => jobs.set(key, state))
  expect(kept).toHaveLength(10)
  // What is held already may change.
  expect(jobs.set('job-3', { value: { rows: 3 }, status: 'done' })).toBe(true)
  expect(jobs.status).toMatchObject({ states: 10, queued: 10, dropped: 1_190 })
  const store = memoryStore<Job>()
  await serve({ socket, store })
  const report = await jobs.sync(all)
  expect([report.missing.length, report.written, jobs.status.dropped]).toEqual([1_190, 1_190, 0])
  expect((await store.get('job-3'))?.status).toBe('done')
  const found = await store.getMany(all.slice(200).map(([key]) => key))
  expect(found.every((state, index) => state?.value.rows === index + 200)).toBe(true)
  // What the service has makes room.
  expect(jobs.set('another', { value: { rows: 1 } })).toBe(true)
})

test('where there was no room for the last of a state, the source has it, and not what is held', async () => {
  const socket = socketPath()
  const jobs = client({ socket, mostBytes: 1_500 })
  const long = { rows: 2, text: 'x'.repeat(1_000) }
  expect(jobs.set('job', { value: { rows: 1 } })).toBe(true)
  expect(jobs.set('job', { value: long })).toBe(false)
  const store = memoryStore<Job>()
  await serve({ socket, store })
  expect(await jobs.flush(20_000)).toBe(true)
  // It fits no client that holds so little.
  expect(await jobs.sync([['job', { value: long }]])).toMatchObject({ refused: ['job'] })
  const short = { value: { rows: 3 } }
  expect(await jobs.sync([['job', short]])).toMatchObject({ older: ['job'], refused: [] })
  expect((await store.get('job'))?.value).toEqual(short.value)
  // From now on it is what was set last.
  expect(await jobs.sync([['job', { value: { rows: 4 } }]])).toMatchObject({ older: [] })
  expect((await store.get('job'))?.value).toEqual(short.value)
})

test('a sync waits for as long as the service takes something, however slowly', async () => {
  const backend = new MemoryBackend()
  const write = backend.write.bind(backend)
  backend.write = async (what) => {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return write(what)
  }
  const store = openStore<Job>(backend)
  const { socket } = await serve({ store, pipelined: 1 })
  const jobs = client({ socket, timeout: 150, mostStates: 20 })
  const all = Array.from({ length: 40 }, (_, rows) => [`job-${rows}`, { value: { rows } }] as const)
  expect(await jobs.sync(all)).toMatchObject({ written: 40, refused: [] })
  expect((await store.list()).states).toHaveLength(40)
})

test('what was dropped is forgotten by a sync that had a source, and by no other', async () => {
  const socket = socketPath()
  const jobs = client({ socket, mostStates: 2, timeout: 300 })
  const all = [1, 2, 3, 4].map((rows) => [`job-${rows}`, { value: { rows } }] as const)
  for (const [key, state] of all) jobs.set(key, state)
  const { backend, store } = awayStore()
  await serve({ socket, store })
  // The service answers, and its backend takes nothing: there is no room for the others.
  expect(await jobs.sync(all)).toMatchObject({
    missing: ['job-1', 'job-2', 'job-3', 'job-4'],
    written: 0,
    refused: ['job-1', 'job-2', 'job-3', 'job-4'],
  })
  expect(jobs.status.dropped).toBe(2)
  backend.away = false
  expect(await jobs.flush(20_000)).toBe(true)
  expect(await jobs.sync()).toMatchObject({ missing: [], refused: [] })
  expect(jobs.status.dropped).toBe(2)
  expect(await jobs.sync(all)).toMatchObject({ missing: ['job-3', 'job-4'], written: 2 })
  expect(jobs.status.dropped).toBe(0)
})

test('the lag is that of what waits longest, however often it is set anew', async () => {
  const jobs = client({ socket: socketPath(), timeout: 100 })
  jobs.set('progress', { value: { rows: 0 } })
  const since = performance.now()
  await expect
    .poll(() => {
      jobs.set('progress', { value: { rows: 1 } })
      return performance.now() - since
    }, settled)
    .toBeGreaterThan(200)
  expect(jobs.status.lag).toBeGreaterThan(200)
})

test('what is set before the end is written, and what comes after it is refused', async () => {
  const store = memoryStore<Job>()
  const { socket } = await serve({ store })
  const jobs = client({ socket })
  jobs.set('a', { value: { rows: 1 } })
  await jobs[Symbol.asyncDispose]()
  expect((await store.get('a'))?.value.rows).toBe(1)
  expect(jobs.set('b', { value: { rows: 2 } })).toBe(false)
  expect(jobs.status).toMatchObject({ connected: false, dropped: 1 })
})

test('a token that is too old is refused for good, and said in the log', async () => {
  const store = memoryStore<Job>()
  await store.put('job', { value: { rows: 9 } }, { token: 9n })
  const { socket } = await serve({ store })
  const warnings: object[] = []
  const logger = { ...silentLogger, warn: (fields: object) => void warnings.push(fields) }
  const jobs = client({ socket, logger })
  jobs.set('job', { value: { rows: 8 } }, { token: 8n })
  jobs.set('other', { value: { rows: 1 } }, { token: 8n })
  expect(await jobs.flush()).toBe(true)
  expect(jobs.status).toMatchObject({ refused: 1, written: 1, states: 1 })
  expect(warnings).toMatchObject([{ key: 'job', err: { code: 'TIDEMARK_STATE_FENCED' } }])
  expect((await store.get('job'))?.value.rows).toBe(9)
})

test('where somebody else has written or removed a state, what was set last here holds', async () => {
  const store = memoryStore<Job>()
  const { socket } = await serve({ store })
  const jobs = client({ socket })
  jobs.set('a', { value: { rows: 1 } })
  jobs.set('b', { value: { rows: 1 } })
  await jobs.flush()
  await store.update('a', { value: { rows: 99 } })
  await store.delete('b')
  jobs.set('a', { value: { rows: 2 } })
  jobs.set('b', { value: { rows: 2 } })
  expect(await jobs.flush()).toBe(true)
  const found = await store.getMany(['a', 'b'])
  expect(found.map((state) => state?.value.rows)).toEqual([2, 2])
})

test('a state whose time is over before the service comes is not there afterwards', async () => {
  const socket = socketPath()
  const jobs = client({ socket })
  jobs.set('short', { value: { rows: 1 }, ttl: 1 })
  jobs.set('long', { value: { rows: 2 }, ttl: 3_600_000 })
  await expect.poll(() => jobs.peek('short')).toBeUndefined()
  const store = memoryStore<Job>()
  await serve({ socket, store })
  expect(await jobs.flush(20_000)).toBe(true)
  expect(await store.get('short')).toBeUndefined()
  const left = ((await store.get('long'))?.expiresAt?.getTime() ?? 0) - Date.now()
  expect(left).toBeLessThanOrEqual(3_600_000)
  expect(left).toBeGreaterThan(0)
})

test('a service that takes everything and answers nothing is given up, and another one used', async () => {
  const socket = socketPath()
  const open = new Set<Socket>()
  const deaf = createServer((connection) => open.add(connection.on('error', () => {}).resume()))
  await new Promise<void>((resolve) => deaf.listen(socket, resolve))
  const jobs = client({ socket, timeout: 200 })
  for (let index = 0; index < 500; index += 1) jobs.set(`job-${index}`, { value: { rows: index } })
  await expect.poll(() => jobs.status.failures, settled).toBeGreaterThan(1)
  const health = await jobs.health()
  expect([health.service.ok, health.queued]).toEqual([false, 500])
  const closed = new Promise((resolve) => deaf.close(resolve))
  for (const connection of open) connection.destroy()
  await closed
  const store = memoryStore<Job>()
  await serve({ socket, store })
  expect(await jobs.flush(20_000)).toBe(true)
  expect((await store.list({ limit: 1_000 })).states).toHaveLength(500)
  expect((await jobs.health()).service).toMatchObject({ ok: true, backend: 'memory' })
})

test('what makes no sense is refused, and a misspelt token with it', async () => {
  const { socket } = await serve()
  const jobs = client({ socket })
  const invalid = expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }) as unknown
  for (const options of [null, { tokens: 1n }, { ifVersion: 1 }, { token: 5 }]) {
    expect(() => jobs.set('a', { value: { rows: 1 } }, options as never)).toThrow(invalid)
    expect(() => jobs.remove('a', options as never)).toThrow(invalid)
  }
  for (const source of [
    null,
    5,
    { a: 1 },
    [5],
    ['ab'],
    [{ key: 'a' }],
    [['a']],
    [[5, { value: 1 }]],
  ]) {
    await expect(jobs.sync(source as never)).rejects.toThrow(invalid)
  }
  for (const timeout of [-1, Number.NaN, Infinity, '5']) {
    await expect(jobs.flush(timeout as number)).rejects.toThrow(invalid)
  }
  expect(jobs.status).toMatchObject({ states: 0, dropped: 0 })
})

test('a client that is closed says so at once', async () => {
  const { socket } = await serve()
  const jobs = client({ socket, timeout: 2_147_483_647 })
  await jobs[Symbol.asyncDispose]()
  await expect(jobs.get('a')).rejects.toMatchObject({
    code: 'TIDEMARK_STORE_UNAVAILABLE',
    message: expect.stringContaining('closed') as unknown,
  })
  expect((await jobs.health()).service.ok).toBe(false)
})

test.for([
  ['a key that is none', '', { value: { rows: 1 } }],
  ['a status that is none', 'a', { value: { rows: 1 }, status: '' }],
  ['what cannot be stored', 'a', { value: { rows: 1, run: () => {} } }],
  ['what cannot be read', 'a', { value: { rows: 1, text: unreadable } }],
  ['what fits no request', 'a', { value: { rows: 1, text: 'x'.repeat(2_000_000) } }],
] as const)('%s is refused where it is set', ([, key, state]) => {
  const jobs = client({ socket: socketPath() })
  expect(() => jobs.set(key, state)).toThrow(/TIDEMARK_/u)
  expect(jobs.status).toMatchObject({ states: 0, bytes: 0 })
})
