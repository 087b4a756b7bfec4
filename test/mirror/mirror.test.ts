import { openStore, type State, type StateBackend, type StateStore } from '@tidemark/stores'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { mirrorJobs, type JobMirror, type MirroredJob } from '@tidemark/stores/mirror'
import { RedisBackend } from '@tidemark/stores/redis'
import { Redis } from 'ioredis'
import { defineJob, type App } from 'tidemark'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { redisPrograms, RedisServer } from '../stores/redis-server.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const quiet = { handleSignals: false }
const patient = { timeout: 30_000 }

const work = defineJob('work', {
  input: z.object({ fails: z.number() }),
  output: z.object({ rows: z.bigint() }),
  lifecycle: true,
  retry: { attempts: 2, backoff: () => 1 },
  run: (job) => {
    if (job.attempt <= job.input.fails) throw new RangeError('as told')
    return { rows: 5n }
  },
})
const untold = defineJob('untold', { input: z.object({}), run: () => 'done' })

/** Waits until the mirror has every transition so far. */
async function caughtUp(app: App, mirror: JobMirror): Promise<void> {
  await expect.poll(async () => (await mirror.lag(app)).events, patient).toBe(0n)
}

/** The statuses of a job, in the order in which they came to the store. */
function written(backend: MemoryBackend): (job: string) => unknown[] {
  const seen: [string, unknown][] = []
  const write = backend.write.bind(backend)
  backend.write = async (what) => {
    const outcome = await write(what)
    if (outcome.is === 'written') seen.push([what.key, what.status])
    return outcome
  }
  return (job) => seen.filter(([key]) => key === job).map(([, status]) => status)
}

test('a job is mirrored through each of its transitions, in their order, with what became of it', async () => {
  const backend = new MemoryBackend()
  const statuses = written(backend)
  const store = openStore<MirroredJob>(backend)
  const mirror = mirrorJobs({ to: store, retention: '1d' })
  await using app = appOn(database, [work, mirror])
  const runner = await app.start(quiet)
  const retried = await app.jobs.spawn(work, { fails: 1 })
  await retried.result()
  const failed = await app.jobs.spawn(work, { fails: 9 }, { delay: '1h' })
  await app.jobs.pause(failed.id)
  await app.jobs.resume(failed.id)
  await app.jobs.retry(failed.id)
  await untilStatus(database, failed.id, 'failed')
  await caughtUp(app, mirror)

  const path = ['queued', 'running', 'scheduled', 'running', 'completed']
  expect(statuses(retried.id)).toEqual(path)
  expect(statuses(failed.id).slice(0, 3)).toEqual(['scheduled', 'paused', 'scheduled'])
  expect(statuses(failed.id).at(-1)).toBe('failed')
  const view = await app.jobs.get(retried.id)
  const state = await store.get(retried.id)
  const job = state?.value as MirroredJob
  expect(job).toEqual({
    jobId: retried.id,
    jobStatus: 'completed',
    name: 'work',
    queue: 'default',
    attempt: 2,
    created: view.createdAt,
    updated: expect.any(Date) as Date,
    completed: job.updated,
    exit: { rows: 5n },
    error: null,
    node: runner.id,
    expiry: new Date(job.updated.getTime() + 86_400_000),
  })
  expect(Math.abs((state?.expiresAt?.getTime() ?? 0) - (job.expiry?.getTime() ?? 0))).toBeLessThan(
    60_000,
  )
  expect((await store.get(failed.id))?.value).toMatchObject({
    jobStatus: 'failed',
    exit: null,
    error: { name: 'RangeError', message: 'as told' },
  })
  const { states } = await store.list({ status: 'failed', fields: { node: runner.id } })
  expect(states.map(({ key }) => key)).toEqual([failed.id])
})

test('a store that hangs costs lag, and no job a moment; when it is back, the mirror is exact', async () => {
  const backend = new MemoryBackend()
  const write = backend.write.bind(backend)
  const back = Promise.withResolvers<void>()
  let away = true
  backend.write = async (what, signal?: AbortSignal) => {
    // As behind a half-open connection: no answer, and no error.
    if (away) await new Promise((resolve) => signal?.addEventListener('abort', resolve))
    if (away) await back.promise
    return write(what)
  }
  const store = openStore<MirroredJob>(backend, { timeout: 100 })
  const mirror = mirrorJobs({ to: store, timeout: '200ms' })
  await using app = appOn(database, [work, mirror])
  await app.start(quiet)
  const handles = await Promise.all(
    Array.from({ length: 20 }, () => app.jobs.spawn(work, { fails: 0 })),
  )
  for (const { id } of handles) await untilStatus(database, id, 'completed')
  await expect.poll(async () => (await mirror.lag(app)).error, patient).not.toBeNull()
  expect((await mirror.lag(app)).events).toBeGreaterThan(0n)
  away = false
  await caughtUp(app, mirror)
  // What hung is written now, late, by somebody whom nobody waits for: its tokens are old.
  back.resolve()
  await new Promise((resolve) => setImmediate(resolve))
  const found = await store.getMany(handles.map(({ id }) => id))
  expect(new Set(found.map((state) => state?.value.jobStatus))).toEqual(new Set(['completed']))
  expect(await mirror.sync(app, { dryRun: true })).toMatchObject({ missing: [], differing: [] })
  expect((await mirror.lag(app)).error).toBeNull()
})

test('sync gives back what a store has lost, takes away what is gone, and knows jobs without a lifecycle', async () => {
  const store = memoryStore<MirroredJob>()
  const mirror = mirrorJobs({ to: store, name: 'jobs.mirror.sync' })
  await using app = appOn(database, [work, untold, mirror])
  const runner = await app.start(quiet)
  const done = await app.jobs.spawn(work, { fails: 0 })
  const waiting = await app.jobs.spawn(work, { fails: 0 }, { delay: '1h' })
  const gone = await app.jobs.spawn(work, { fails: 0 }, { delay: '1h' })
  const silent = await app.jobs.spawn(untold, {})
  for (const { id } of [done, silent]) await untilStatus(database, id, 'completed')
  await caughtUp(app, mirror)
  await runner.stop()
  const fenced = (await store.get(done.id))?.token
  await store.delete(done.id, { token: fenced as bigint })
  const before = (await store.get(waiting.id)) as State<MirroredJob>
  await store.update(
    waiting.id,
    { value: { ...before.value, jobStatus: 'running' }, status: 'running' },
    // Its own: the other one may have completed before this one was spawned.
    { token: before.token },
  )
  await database.query('delete from tidemark.jobs where id = $1', [gone.id])

  const look = await mirror.sync(app, { dryRun: true })
  expect(look).toMatchObject({ differing: [waiting.id], extra: [gone.id], written: 0, removed: 0 })
  expect(look.missing).toContain(done.id)
  expect(look.missing).toContain(silent.id)
  const mended = await mirror.sync(app)
  expect(mended).toMatchObject({ removed: 1, refused: [] })
  expect(mended.written).toBe(mended.missing.length + 1)
  expect((await store.get(silent.id))?.value).toMatchObject({
    jobStatus: 'completed',
    exit: 'done',
  })
  expect((await store.get(done.id))?.value).toMatchObject({ exit: { rows: 5n } })
  expect((await store.get(waiting.id))?.value.jobStatus).toBe('scheduled')
  expect(await store.get(gone.id)).toBeUndefined()
  expect(await mirror.sync(app)).toMatchObject({ missing: [], differing: [], extra: [] })

  // The listener goes on after it: what it writes is newer.
  await app.start(quiet)
  await app.jobs.retry(waiting.id)
  await untilStatus(database, waiting.id, 'completed')
  await caughtUp(app, mirror)
  expect((await store.get(waiting.id))?.value.jobStatus).toBe('completed')
})

test('an output that cannot be read keeps no other job from the mirror', async () => {
  const store = memoryStore<MirroredJob>()
  const mirror = mirrorJobs({ to: store, name: 'jobs.mirror.spoilt', partitions: 1 })
  await using working = appOn(database, [work])
  await working.start(quiet)
  const spoilt = await working.jobs.spawn(work, { fails: 0 })
  await untilStatus(database, spoilt.id, 'completed')
  await database.query(
    `update tidemark.jobs set output_meta = '{"values": [["custom", "unknown"]]}' where id = $1`,
    [spoilt.id],
  )
  const other = await working.jobs.spawn(work, { fails: 0 })
  await untilStatus(database, other.id, 'completed')
  await using app = appOn(database, [work, mirror])
  await app.start({ ...quiet, jobs: false })
  await caughtUp(app, mirror)
  const found = await store.getMany([spoilt.id, other.id])
  expect(found.map((state) => [state?.status, state?.value.exit])).toEqual([
    ['completed', null],
    ['completed', { rows: 5n }],
  ])
  await database.query('delete from tidemark.jobs where id = $1', [spoilt.id])
})

test.for([
  { to: {} },
  { timeout: 0 },
  { partitions: 0 },
  { schema: '' },
  { retention: 'soon' },
  { retentoin: '1d' },
])('what is no mirror is refused: %o', (options) => {
  const to = memoryStore<MirroredJob>()
  const invalid = expect.objectContaining({ code: 'TIDEMARK_INVALID_OPTION' }) as unknown
  expect(() => mirrorJobs({ to, ...options } as never)).toThrow(invalid)
})

test('a mirror asks for an application', async () => {
  const mirror = mirrorJobs({ to: memoryStore<MirroredJob>() })
  for (const app of [null, Promise.resolve({})]) {
    await expect(mirror.lag(app as never)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
    await expect(mirror.sync(app as never)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  }
})

const programs = redisPrograms().slice(0, 1)
if (programs.length === 0)
  console.log('No mirror in Redis is tested: redis-server is not installed here')

describe.each(['memory', ...programs])('in %s', (where) => {
  test('after flapping, with two processes and much going on, mirror and table are the same', async () => {
    let backend: StateBackend = new MemoryBackend()
    let server: RedisServer | undefined
    if (where !== 'memory') {
      server = await RedisServer.start(where)
      const redis = new Redis(server.url, { retryStrategy: () => 20, maxRetriesPerRequest: null })
      redis.on('error', () => {})
      onTestFinished(async () => {
        redis.disconnect()
        await server?.[Symbol.asyncDispose]()
      })
      backend = new RedisBackend(redis, 'mirror')
    }
    // Some writes fail, and some happen and say that they failed.
    const write = backend.write.bind(backend)
    let count = 0
    backend.write = async (what, signal) => {
      count += 1
      if (count % 17 === 0) throw new Error('lost on its way')
      const outcome = await write(what, signal)
      if (count % 23 === 0) throw new Error('lost on its way back')
      return outcome
    }
    const store: StateStore<MirroredJob> = openStore(backend)
    const mirror = mirrorJobs({ to: store, name: `jobs.mirror.${where}`, partitions: 2 })
    await using one = appOn(database, [work, mirror])
    await using other = appOn(database, [work, mirror])
    const first = await one.start(quiet)
    await other.start(quiet)
    const handles = await Promise.all(
      Array.from({ length: 30 }, (_, index) => one.jobs.spawn(work, { fails: index % 3 })),
    )
    for (const [index, { id }] of handles.entries()) {
      // Some have ended before.
      if (index % 5 === 0) await one.jobs.cancel(id).catch(() => {})
      if (index % 5 === 1) await one.jobs.pause(id).catch(() => {})
    }
    if (server !== undefined) {
      await server.kill()
      await server.startAgain()
    }
    // Its partitions go to the other one in the middle.
    await first.stop()
    for (const [index, { id }] of handles.entries())
      if (index % 5 === 1) await other.jobs.resume(id).catch(() => {})
    for (const { id } of handles) {
      await expect.poll(async () => (await other.jobs.get(id)).finishedAt, patient).not.toBeNull()
    }
    await caughtUp(other, mirror)
    const report = await mirror.sync(other, { dryRun: true })
    const ids = new Set(handles.map(({ id }) => id))
    expect([...report.missing, ...report.differing].filter((id) => ids.has(id))).toEqual([])
    const found = await store.getMany([...ids])
    for (const state of found) {
      const { status, largeOutput: _, ...view } = await other.jobs.get(state?.key ?? '')
      expect([state?.status, state?.value.created]).toEqual([status, view.createdAt])
    }
  })
})
