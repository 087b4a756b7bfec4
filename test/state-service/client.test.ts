import { createServer, type Socket } from 'node:net'
import { stateClient, type StateClient, type StateClientOptions } from '@tidemark/stores/client'
import { memoryStore } from '@tidemark/stores/memory'
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

test('an outage of an hour costs lag, not memory', { timeout: 15 * 60_000 }, async () => {
  // 1,000 a second for an hour: TIDEMARK_OUTAGE_WRITES=3600000.
  const writes = Number(process.env['TIDEMARK_OUTAGE_WRITES'] ?? 30_000)
  const mostBytes = writes > 100_000 ? 67_108_864 : 1_048_576
  const jobs = client({ socket: socketPath(), mostBytes })
  const text = 'x'.repeat(100)
  global.gc?.()
  const before = process.memoryUsage()
  for (let index = 0; index < writes; index += 1) {
    // Half of them are new jobs.
    const rows = index % 2 === 0 ? index : index - 1
    jobs.set(`job-${rows}`, { value: { rows }, status: 'running', fields: { text } })
    // As in an hour: whatever else the process does gets its turns.
    if (index % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  global.gc?.()
  const after = process.memoryUsage()
  const grown = after.heapUsed + after.external - before.heapUsed - before.external
  const { states, bytes, queued, dropped, lag } = jobs.status
  if (writes > 100_000) {
    console.log(`${writes} writes in an outage`, { states, bytes, queued, dropped, lag, grown })
  }
  expect(bytes).toBeLessThanOrEqual(mostBytes)
  expect(queued).toBe(states)
  expect(dropped).toBeGreaterThan(0)
  expect(lag).toBeGreaterThan(0)
  // Twice what it says, and what the test itself and a collector that had no reason to run leave.
  expect(grown).toBeLessThan(2 * mostBytes + 33_554_432)
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

test.for([
  ['a key that is none', '', { value: { rows: 1 } }],
  ['a status that is none', 'a', { value: { rows: 1 }, status: '' }],
  ['what cannot be stored', 'a', { value: { rows: 1, run: () => {} } }],
  ['what fits no request', 'a', { value: { rows: 1, text: 'x'.repeat(2_000_000) } }],
] as const)('%s is refused where it is set', ([, key, state]) => {
  const jobs = client({ socket: socketPath() })
  expect(() => jobs.set(key, state)).toThrow(/TIDEMARK_/u)
  expect(jobs.status).toMatchObject({ states: 0, bytes: 0 })
})
