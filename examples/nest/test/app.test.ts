import type { AddressInfo } from 'node:net'
import type { INestApplication } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { tidemarkOf } from '@tidemark/nestjs'
import { onTestDatabase } from '@tidemark/nestjs/testing'
import { drainJobs } from '@tidemark/testing'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { Logger } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ErrorLog } from '../src/admin/error-log.ts'
import { AppModule } from '../src/app.module.ts'
import { MailServer } from '../src/letters/mail-server.ts'
import { Rates } from '../src/rates/rates.service.ts'

const database = useTestDatabase()
let app: INestApplication
const warnings: string[] = []

const logger: Logger = {
  debug() {},
  info() {},
  warn: (_, message) => void warnings.push(message),
  error() {},
}

beforeEach(async () => {
  warnings.length = 0
  const builder = Test.createTestingModule({ imports: [AppModule] })
  const module = await onTestDatabase(builder, database, { logger }).compile()
  app = module.createNestApplication({ logger: false })
  await app.listen(0, '127.0.0.1')
})

afterEach(async () => {
  await app.close()
})

async function ask(path: string, init?: RequestInit): Promise<Response> {
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address()
  return fetch(`http://127.0.0.1:${port}${path}`, init)
}

function post(path: string, body?: unknown, headers: Record<string, string> = {}) {
  const json = body === undefined ? {} : { body: JSON.stringify(body) }
  const type = { 'content-type': 'application/json', ...headers }
  return ask(path, { method: 'POST', headers: type, ...json })
}

test('an order is thanked for, once, and counted', async () => {
  await post('/orders', { email: 'ada@example.com', cents: '4200' })
  await drainJobs(tidemarkOf(app))
  expect(app.get(MailServer, { strict: false }).sent).toEqual(['ada@example.com'])
  const turnover = await ask('/orders/turnover')
  expect(await turnover.json()).toEqual({ orders: 1, cents: '4200' })
})

test('each failed attempt of a job reaches the exception filter, and the job has failed all the same', async () => {
  await post('/orders', { email: 'ada@nowhere.invalid', cents: '1' })
  await drainJobs(tidemarkOf(app))
  const failed = { from: 'tidemark', message: 'no such address: ada@nowhere.invalid' }
  expect(app.get(ErrorLog, { strict: false }).errors).toEqual([failed, failed])
  const [job] = await tidemarkOf(app).jobs.list({ name: 'send_letter', status: 'failed' })
  expect(job?.error?.message).toBe(failed.message)
})

test('a run by hand is answered at once, with a place to ask how it went and who wanted it', async () => {
  expect((await post('/admin/jobs/rates.refresh/runs')).status).toBe(403)
  const operator = { 'x-operator': 'grace' }
  const accepted = await post('/admin/jobs/rates.refresh/runs', undefined, operator)
  expect(accepted.status).toBe(202)
  const started = (await accepted.json()) as { id: string }
  expect(started).toMatchObject({ name: 'rates.refresh', status: 'queued', triggeredBy: 'grace' })
  const location = accepted.headers.get('location') ?? ''
  expect(location).toBe(`/admin/jobs/rates.refresh/runs/${started.id}`)

  await drainJobs(tidemarkOf(app))
  const run = await ask(location, { headers: operator })
  expect(await run.json()).toMatchObject({
    status: 'completed',
    triggeredBy: 'grace',
    output: { USD: 1.09, GBP: 0.86 },
    error: null,
    duration: expect.any(Number),
    attempts: [{ attempt: 1, outcome: 'completed', triggeredBy: 'grace' }],
  })
  const history = await ask('/admin/jobs/rates.refresh/runs', { headers: operator })
  expect(await history.json()).toMatchObject({ runs: [{ id: started.id, triggeredBy: 'grace' }] })
})

test('what cannot be run is refused, and what is not there not found', async () => {
  const operator = { 'x-operator': 'grace' }
  expect((await post('/admin/jobs/nothing/runs', undefined, operator)).status).toBe(404)
  const wrong = await post('/admin/jobs/send_letter/runs', { to: 'nobody' }, operator)
  expect(wrong.status).toBe(400)
  expect(await wrong.json()).toMatchObject({ code: 'TIDEMARK_INVALID_INPUT' })
  const id = '0198c0de-0000-7000-8000-000000000000'
  for (const unknown of [`rates.refresh/runs/${id}`, 'rates.refresh/runs/1', 'nothing/runs']) {
    expect((await ask(`/admin/jobs/${unknown}`, { headers: operator })).status).toBe(404)
  }
})

test('a run in a request answers its output; one that fails reaches the exception filter', async () => {
  const fetched = await ask('/rates')
  expect([fetched.status, await fetched.json()]).toEqual([200, { USD: 1.09, GBP: 0.86 }])
  app.get(Rates, { strict: false }).available = false
  expect((await ask('/rates')).status).toBe(500)
  expect(app.get(ErrorLog, { strict: false }).errors).toEqual([
    { from: 'http', message: 'the bank does not answer' },
  ])
})

test('a call while another holds the lock is skipped, with a warning', async () => {
  const tidemark = tidemarkOf(app)
  await tidemark.jobs.withLock('rates.publish', {}, async () => {
    const skipped = await post('/rates/publish')
    expect(await skipped.json()).toEqual({ published: null })
  })
  expect(warnings).toEqual(['skipped: another holds the lock "rates.publish"'])
  const published = await post('/rates/publish')
  expect(await published.json()).toEqual({
    published: expect.stringMatching(/^published under token \d+$/u),
  })
})
