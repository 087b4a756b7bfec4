import { openStore } from '@tidemark/stores'
import { MemoryBackend, memoryStore } from '@tidemark/stores/memory'
import { runHistory } from '@tidemark/stores/runs'
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
