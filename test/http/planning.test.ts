import { createJobApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineJob, defineSchedule, type App } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'

const database = useTestDatabase()
let app: App
let client: ApiClient

const report = defineJob('report', {
  input: z.object({ customer: z.string(), at: z.date().optional() }),
  run: () => {},
})
const nightly = defineSchedule('nightly', {
  cron: '0 3 * * *',
  job: report,
  input: { customer: 'all' },
})

beforeEach(async () => {
  app = appOn(database, [report, nightly])
  client = new ApiClient(createJobApi(app))
  await database.query('truncate tidemark.jobs, tidemark.schedules, tidemark.job_pauses cascade')
})

afterEach(async () => {
  await app.close()
})

const put = {
  cron: '0 8 * * 1',
  job: 'report',
  input: { customer: 'ada', at: '2026-01-01T00:00:00Z' },
}

test('a schedule is made, looked at, changed, run, paused and removed', async () => {
  const made = await client.send('PUT', '/schedules/report.ada', put)
  expect(made).toMatchObject({
    status: 200,
    body: { name: 'report.ada', source: 'runtime', status: 'active', cron: '0 8 * * 1' },
  })
  const changed = await client.send('PUT', '/schedules/report.ada', { ...put, cron: '@daily' })
  expect(changed.body).toMatchObject({ cron: '@daily' })
  expect((await client.get('/schedules')).body).toMatchObject({
    schedules: [{ name: 'report.ada' }],
  })
  expect((await client.send('POST', '/schedules/report.ada/pause')).body).toMatchObject({
    status: 'paused',
  })
  expect((await client.send('POST', '/schedules/report.ada/resume')).body).toMatchObject({
    status: 'active',
  })
  const run = await client.send('POST', '/schedules/report.ada/run')
  expect(run).toMatchObject({ status: 202, body: { outcome: 'spawned' } })
  expect(await app.jobs.get(run.body['id'] as string)).toMatchObject({
    input: { customer: 'ada', at: new Date('2026-01-01T00:00:00Z') },
    triggeredBy: 'http',
  })
  expect((await client.get('/schedules/report.ada/ticks')).body).toEqual({ ticks: [] })
  expect((await client.send('DELETE', '/schedules/report.ada')).status).toBe(204)
  expect((await client.get('/schedules/report.ada')).status).toBe(404)
})

test('what is wrong with a schedule is answered with 4xx', async () => {
  const wrong: [string, object, number][] = [
    ['report.ada', { ...put, cron: 'soon' }, 400],
    ['report.ada', { ...put, cron: '2026-12-31T00:00:00' }, 400],
    ['report.ada', { ...put, job: 'reprot' }, 404],
    ['report.ada', { ...put, input: {} }, 422],
    ['report.ada', { ...put, every: 5 }, 400],
    ['nightly', put, 409],
    ['a%00b', put, 400],
  ]
  for (const [name, body, status] of wrong) {
    expect([name, body, (await client.send('PUT', `/schedules/${name}`, body)).status]).toEqual([
      name,
      body,
      status,
    ])
  }
  for (const path of ['/schedules/none/run', '/schedules/none/pause']) {
    expect((await client.send('POST', path)).status).toBe(404)
  }
  expect((await client.send('DELETE', '/schedules/none')).status).toBe(404)
})

test('an Idempotency-Key with another body answers 422, and nothing is spawned', async () => {
  const send = (body: object, key = 'k'): ReturnType<ApiClient['send']> =>
    client.send('POST', '/types/report/jobs', body, { 'idempotency-key': key })
  const input = { customer: 'ada', at: '2026-01-01T00:00:00Z' }
  const first = await send({ input, priority: 'high' })
  expect(first.status).toBe(202)
  // The same, its keys in another order.
  const again = await send({ priority: 'high', input: { at: input.at, customer: 'ada' } })
  expect(again).toMatchObject({ status: 202, body: { id: first.body['id'], outcome: 'kept' } })
  for (const other of [{ input: { customer: 'eve' } }, { input }, { input, priority: 'low' }]) {
    expect(await send(other)).toMatchObject({
      status: 422,
      body: { code: 'TIDEMARK_REQUEST_CHANGED' },
    })
  }
  expect(await app.jobs.list()).toHaveLength(1)
  expect((await send({ input }, 'other')).status).toBe(202)
})

test('jobs are cancelled, retried and deleted by a selection, and never all by an omission', async () => {
  for (const customer of ['a', 'b', 'c']) await app.jobs.spawn(report, { customer })
  await app.jobs.spawn(report, { customer: 'd' }, { queue: 'other' })
  for (const verb of ['cancel', 'pause', 'resume', 'retry', 'delete']) {
    expect((await client.send('POST', `/bulk/${verb}`, {})).status).toBe(400)
    expect((await client.send('POST', `/bulk/${verb}`, { limit: 1 })).status).toBe(400)
    expect((await client.send('POST', `/bulk/${verb}`, { nmae: 'report' })).status).toBe(400)
  }
  const result = (done: number): object => ({ status: 200, body: { done, asked: 0, refused: 0 } })
  expect(await client.send('POST', '/bulk/cancel', { queue: 'default', limit: 2 })).toMatchObject(
    result(2),
  )
  expect(await client.send('POST', '/bulk/cancel', { queue: 'default' })).toMatchObject(result(1))
  expect(await client.send('POST', '/bulk/retry', { name: 'report', limit: 1 })).toMatchObject(
    result(1),
  )
  expect(await client.send('POST', '/bulk/delete', { all: true })).toMatchObject(result(2))
  expect(await app.jobs.list({ status: 'queued' })).toHaveLength(2)
  const [left] = await app.jobs.list()
  expect((await client.send('DELETE', `/jobs/${left?.id}`)).status).toBe(409)
  await app.jobs.cancel(left?.id ?? '')
  expect((await client.send('DELETE', `/jobs/${left?.id}`)).status).toBe(204)
  expect((await client.get(`/jobs/${left?.id}`)).status).toBe(404)
})

test('jobs are paused and resumed by a selection, also those that run and have not stopped yet', async () => {
  const stopped = Promise.withResolvers<void>()
  const running = Promise.withResolvers<void>()
  const long = defineJob('long', {
    input: z.number(),
    run: async () => {
      running.resolve()
      await stopped.promise
    },
  })
  await using worker = appOn(database, [long])
  const result = (done: number, asked: number): object => ({
    status: 200,
    body: { done, asked, refused: 0 },
  })
  const first = await worker.jobs.spawn(long, 1)
  await worker.start({ handleSignals: false })
  await running.promise
  await worker.jobs.spawn(long, 2, { delay: '1h' })
  expect(await client.send('POST', '/bulk/pause', { name: 'long' })).toMatchObject(result(1, 1))
  expect(await app.jobs.bulk.count('resume', { name: 'long' })).toBe(2)
  expect(await client.send('POST', '/bulk/resume', { name: 'long' })).toMatchObject(result(2, 0))
  expect(await client.send('POST', '/bulk/resume', { name: 'long' })).toMatchObject(result(0, 0))
  stopped.resolve()
  await first.result()
  expect(await app.jobs.list({ status: 'paused' })).toEqual([])
})

test('of jobs with one unique key one is retried, and the others are refused', async () => {
  for (const customer of ['a', 'b', 'c']) {
    const { id } = await app.jobs.spawn(report, { customer }, { uniqueKey: 'u' })
    await app.jobs.cancel(id)
  }
  expect(await app.jobs.bulk.retry({ uniqueKey: 'u' })).toEqual({ done: 1, asked: 0, refused: 2 })
})

test('queues and types are paused and resumed, and what waits is shown', async () => {
  await app.jobs.spawn(report, { customer: 'a' })
  await client.send('POST', '/queues/default/pause')
  const paused = await client.send('POST', '/types/report/pause')
  expect(paused.body).toMatchObject({
    pauses: [
      { kind: 'queue', name: 'default', by: 'http', waiting: 1 },
      { kind: 'type', name: 'report', by: 'http', waiting: 1 },
    ],
  })
  await client.send('POST', '/queues/default/resume')
  await client.send('POST', '/types/report/resume')
  expect((await client.get('/pauses')).body).toEqual({ pauses: [] })
})

test('the hook that authorizes is asked for each of it', async () => {
  const asked: string[] = []
  const api = createJobApi(app, {
    authorize: ({ action }) => {
      asked.push(action)
      return false
    },
  })
  const stranger = new ApiClient(api)
  const requests: [string, string][] = [
    ['GET', '/schedules'],
    ['PUT', '/schedules/a'],
    ['DELETE', '/schedules/a'],
    ['POST', '/schedules/a/run'],
    ['POST', '/schedules/a/pause'],
    ['GET', '/pauses'],
    ['POST', '/queues/a/pause'],
    ['POST', '/types/report/resume'],
    ['POST', '/bulk/delete'],
  ]
  for (const [method, path] of requests) {
    const { status } =
      method === 'GET' ? await stranger.get(path) : await stranger.send(method, path)
    expect([method, path, status]).toEqual([method, path, 403])
  }
  expect(asked).toEqual([
    'schedules',
    'changeSchedule',
    'changeSchedule',
    'runSchedule',
    'pauseSchedule',
    'pauses',
    'hold',
    'hold',
    'deleteMany',
  ])
})
