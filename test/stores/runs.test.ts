import { hostname } from 'node:os'
import { openStore } from '@tidemark/stores'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { runHistory, type RunRecord } from '@tidemark/stores/runs'
import { silentLogger, type Logger } from 'tidemark'
import { expect, test } from 'vitest'

test('a run is in the history from its start to its end', async () => {
  const history = runHistory({ store: memoryStore(), logger: silentLogger })
  const begun = Promise.withResolvers<string>()
  const go = Promise.withResolvers<void>()
  const running = history.run(
    'fetch',
    async ({ id }) => {
      begun.resolve(id)
      await go.promise
      return new Map([['rows', 5n]])
    },
    { triggeredBy: 'cron' },
  )
  const id = await begun.promise
  await expect.poll(async () => (await history.get(id))?.status).toBe('running')
  go.resolve()
  const result = await running
  expect(await history.get(id)).toEqual({
    id,
    name: 'fetch',
    status: 'succeeded',
    triggeredBy: 'cron',
    node: `${hostname()}:${process.pid}`,
    startedAt: result.startedAt,
    finishedAt: result.finishedAt,
    duration: result.duration,
    output: new Map([['rows', 5n]]),
    error: null,
  })
})

test('failures are listed with their errors, by name, status and trigger', async () => {
  const history = runHistory({ store: memoryStore(), logger: silentLogger })
  await history.run('a', () => 1)
  const { id } = await history.run('b', () => {
    throw new RangeError('too far')
  })
  await history.run('b', () => 2, { triggeredBy: 'user:1' })
  const { runs } = await history.list({ name: 'b', status: 'failed' })
  expect(runs.map((run) => [run.id, run.error?.message])).toEqual([[id, 'too far']])
  expect((await history.list({ triggeredBy: 'user:1' })).runs.map(({ output }) => output)).toEqual([
    2,
  ])
  const page = await history.list({ limit: 2 })
  const rest = await history.list({ limit: 2, after: page.next ?? '' })
  expect([page.runs.length, rest.runs.length, rest.next]).toEqual([2, 1, null])
})

test('runs are found by names and triggers of any length, and by nothing that there is not', async () => {
  const history = runHistory({ store: memoryStore(), logger: silentLogger })
  const [name, triggeredBy] = ['ü'.repeat(300), 'x'.repeat(1_000)]
  await history.run(name, () => 1, { triggeredBy })
  const { runs } = await history.list({ name, triggeredBy })
  expect(runs.map((run) => [run.name, run.triggeredBy])).toEqual([[name, triggeredBy]])
  for (const options of [
    { status: 'completed' },
    { name: '' },
    { triggeredBy: 5 },
    { nmae: name },
    null,
  ]) {
    await expect(history.list(options as never)).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  }
})

test('an output that cannot be stored does not hide how the run ended', async () => {
  const warnings: string[] = []
  const logger: Logger = { ...silentLogger, warn: (_, text) => void warnings.push(text) }
  const history = runHistory({ store: memoryStore(), logger })
  const result = await history.run('x'.repeat(300), () => () => {})
  const run = await history.get(result.id)
  expect([run?.status, run?.output, run?.name.length]).toEqual(['succeeded', undefined, 300])
  expect(warnings).toHaveLength(1)
})

test('a store that is away changes nothing for the run', async () => {
  const backend = new MemoryBackend()
  backend.write = () => Promise.reject(new Error('away'))
  const history = runHistory({ store: openStore(backend), logger: silentLogger })
  expect(await history.run('x', () => 'done')).toMatchObject({ ok: true, output: 'done' })
})

test('a run whose process says nothing any more is lost, one that goes on is not', async () => {
  const store = memoryStore<RunRecord>()
  const history = runHistory({ store, logger: silentLogger, heartbeat: 20 })
  const end = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<string>()
  const running = history.run('long', async ({ id }) => {
    begun.resolve(id)
    await end.promise
  })
  const id = await begun.promise
  await expect.poll(async () => (await store.get(id))?.version ?? 0).toBeGreaterThan(1)
  // As a process that died has left it.
  const { value } = (await store.get(id)) as { value: RunRecord }
  await store.create('died', { value: { ...value, id: 'died' }, status: 'running', name: 'long' })
  await expect.poll(async () => (await history.get('died'))?.status).toBe('lost')
  const lost = await history.list({ status: 'lost', name: 'long' })
  expect(lost.runs.map((run) => [run.id, run.status])).toEqual([['died', 'lost']])
  expect((await history.list({ startedBefore: value.startedAt })).runs).toEqual([])
  expect((await history.list({ startedFrom: value.startedAt })).runs).toHaveLength(2)
  // Also on a machine that was busy with something else for longer than a few heartbeats.
  await expect
    .poll(async () => (await history.list({ status: 'running' })).runs.map((run) => run.id))
    .toEqual([id])
  end.resolve()
  await running
  expect((await history.get(id))?.status).toBe('succeeded')
})

test('an end that could not be stored is stored when the store is back', async () => {
  const backend = new MemoryBackend()
  const write = backend.write.bind(backend)
  let away = true
  backend.write = (what) => (away ? Promise.reject(new Error('away')) : write(what))
  const history = runHistory({ store: openStore(backend), logger: silentLogger, heartbeat: 10 })
  const { id } = await history.run('x', () => 'done')
  expect(await history.get(id)).toBeUndefined()
  away = false
  await expect.poll(() => history.get(id)).toMatchObject({ status: 'succeeded', output: 'done' })
})

test('a beginning that comes late does not hide the end', async () => {
  const backend = new MemoryBackend()
  const write = backend.write.bind(backend)
  const late = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  backend.write = async (what) => {
    if (what.status !== 'running') return write(what)
    await late.promise
    const outcome = await write(what)
    arrived.resolve()
    return outcome
  }
  const store = openStore<RunRecord>(backend, { timeout: 20 })
  const history = runHistory({ store, logger: silentLogger })
  const { id } = await history.run('x', () => 'done')
  late.resolve()
  await arrived.promise
  expect(await history.get(id)).toMatchObject({ status: 'succeeded' })
})
