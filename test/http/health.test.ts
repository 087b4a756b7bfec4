import { createTestDatabase } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { createHealth, defineApp, type App, type Health, type Runner } from 'tidemark'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { world } from './system-world.ts'

const database = useTestDatabase()
let app: App

beforeEach(() => {
  app = appOn(database, [world])
})

afterEach(async () => {
  await app.close()
})

type Handler = ReturnType<typeof createHealth>

async function ask(health: Handler, path: string): Promise<[number, Health]> {
  const response = await health(new Request(`http://localhost${path}`))
  return [response.status, (await response.json()) as Health]
}

const codes = ([status, { reasons }]: [number, Health]): unknown => [
  status,
  reasons.map(({ code }) => code),
]

test('a process lives although nothing listens where its database should be, which it does not even ask', async () => {
  const nowhere = defineApp({
    connectionString: 'postgres://127.0.0.1:1/none?password=hush',
    logger: new LogBook(),
    modules: [],
  })
  const health = createHealth(nowhere, { cacheFor: 0 })
  expect((await ask(health, '/healthz'))[0]).toBe(200)
  const answer = await ask(health, '/readyz')
  expect(codes(answer)).toEqual([503, ['database']])
  expect(JSON.stringify(answer)).not.toMatch(/hush|127\.0\.0\.1/u)
  await nowhere.close()
})

test('liveness never touches the database', async () => {
  const looks = vi.spyOn(app.doctor, 'examine')
  const health = createHealth(app)
  for (let times = 0; times < 5; times++) expect((await ask(health, '/healthz'))[0]).toBe(200)
  expect(looks).not.toHaveBeenCalled()
})

test('a worker is ready when it runs; not before, not when it stops, and not when it was forgotten', async () => {
  let runner: Runner | undefined
  const stopping = new AbortController()
  const health = createHealth(app, { runner: () => runner, signal: stopping.signal, cacheFor: 0 })
  expect(codes(await ask(health, '/readyz'))).toEqual([503, ['starting']])
  await using started = await app.start()
  runner = started
  expect(codes(await ask(health, '/readyz'))).toEqual([200, []])
  await database.query(
    `update tidemark.processes set heartbeat_at = heartbeat_at - interval '1 hour' where id = $1`,
    [started.id],
  )
  const forgotten = await ask(createHealth(app, { runner: () => undefined }), '/readyz')
  expect(codes(forgotten)).toEqual([503, ['starting']])
  stopping.abort()
  expect(codes(await ask(health, '/readyz'))).toEqual([503, ['stopping']])
  expect((await ask(health, '/healthz'))[0]).toBe(200)
})

test('a worker that the database has not heard of is not ready', async () => {
  const runner = { id: '00000000-0000-4000-8000-000000000000' } as Runner
  expect(codes(await ask(createHealth(app, { runner: () => runner }), '/readyz'))).toEqual([
    503,
    ['worker'],
  ])
})

test('without its tables, with no connection left, or closed, it says so', async () => {
  await using bare = await createTestDatabase({ migrate: false })
  const unmigrated = appOn(bare, [])
  const answer = await ask(createHealth(unmigrated), '/readyz')
  expect(answer[0]).toBe(503)
  expect(new Set(answer[1].reasons.map(({ code }) => code))).toEqual(new Set(['migrations']))
  await unmigrated.close()
})

test('a database that does not answer is asked by one look at a time, and whoever asks is answered in time', async () => {
  const { promise, resolve } = Promise.withResolvers<[]>()
  const looks = vi.spyOn(app.doctor, 'examine').mockReturnValue(promise)
  const health = createHealth(app, { timeout: 20, cacheFor: 0 })
  for (let times = 0; times < 3; times++) {
    expect(codes(await ask(health, '/readyz'))).toEqual([503, ['slow']])
  }
  expect(looks).toHaveBeenCalledOnce()
  resolve([])
  await vi.waitFor(async () => expect((await ask(health, '/readyz'))[0]).toBe(200))
})

test('many who ask at once cost one look', async () => {
  const looks = vi.spyOn(app.doctor, 'examine')
  const health = createHealth(app)
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(health, '/readyz')))
  expect(new Set(answers.map(([status]) => status))).toEqual(new Set([200]))
  expect(looks).toHaveBeenCalledOnce()
})

test('other paths and methods', async () => {
  const health = createHealth(app, { basePath: '/internal' })
  const status = async (path: string, method = 'GET'): Promise<number> =>
    (await health(new Request(`http://localhost${path}`, { method }))).status
  expect(await status('/healthz')).toBe(404)
  expect(await status('/internal/healthz')).toBe(200)
  expect(await status('/internal/healthz', 'HEAD')).toBe(200)
  expect(await status('/internal/readyz', 'POST')).toBe(405)
  expect(() => createHealth(app, { timeout: 0 })).toThrow('TIDEMARK_INVALID_OPTION')
})
