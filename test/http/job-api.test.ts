import { createJobApi, type JobApiOptions } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineJob, isTidemarkError, type App } from 'tidemark'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { breakDown, indexFolder, sendEmail } from './jobs.ts'

const database = useTestDatabase()
let app: App
let client: ApiClient

beforeEach(async () => {
  await database.query('truncate tidemark.jobs cascade')
  app = appOn(database, [sendEmail, indexFolder, breakDown])
  client = new ApiClient(createJobApi(app, { basePath: '/api' }), 'http://localhost/api')
})

afterEach(async () => {
  await app.close()
})

test('a job is spawned by JSON, found where Location says, run, and its result, steps, attempts and logs are there', async () => {
  const spawned = await client.send('POST', '/types/send_email/jobs', {
    input: { to: 'ada@example.com', cents: '9007199254740993', on: '2026-01-31' },
    priority: 3,
  })
  expect(spawned).toMatchObject({ status: 202, body: { duplicate: false } })
  const { id } = spawned.body as { id: string }
  expect(spawned.headers.get('location')).toBe(`/api/jobs/${id}`)
  expect(await app.jobs.get(id)).toMatchObject({
    input: { cents: 9_007_199_254_740_993n, on: new Date('2026-01-31') },
    triggeredBy: 'http',
  })
  const waiting = await client.get(`/jobs/${id}/result`)
  expect(waiting).toMatchObject({ status: 202, body: { status: 'queued' } })

  await using _ = await app.start()
  const result = await client.get(`/jobs/${id}/result?wait=30`)
  expect(result.body).toEqual({
    status: 'completed',
    output: { messageId: 'to ada@example.com', cents: '9007199254740993' },
  })
  expect((await client.get(`/jobs/${id}`)).body).toMatchObject({
    id,
    status: 'completed',
    priority: 3,
    input: { cents: '9007199254740993', on: '2026-01-31T00:00:00.000Z' },
  })
  expect((await client.get(`/jobs/${id}/steps`)).body).toMatchObject({
    steps: [{ id: 'deliver', output: 'to ada@example.com' }],
  })
  expect((await client.get(`/jobs/${id}/attempts`)).body).toMatchObject({
    attempts: [{ attempt: 1, outcome: 'completed' }],
  })
  const logs = await client.get(`/jobs/${id}/logs`)
  const { lines } = logs.body as { lines: { number: string }[] }
  expect(lines).toMatchObject([{ level: 'info', message: 'delivering' }])
  const rest = await client.get(`/jobs/${id}/logs?after=${lines[0]?.number}`)
  expect(rest.body).toEqual({ lines: [] })
})

test('a job has its large output, a page of jobs only the size of it', async () => {
  await using keeping = appOn(database, [sendEmail], { outputs: { limit: 10 } })
  const api = new ApiClient(createJobApi(keeping, { basePath: '/api' }), 'http://localhost/api')
  await using _ = await keeping.start()
  const input = { to: 'ada@example.com', cents: '1', on: '2026-01-31' }
  const spawned = await api.send('POST', '/types/send_email/jobs', { input })
  const { id } = spawned.body as { id: string }
  const { output } = (await api.get(`/jobs/${id}/result?wait=30`)).body as { output: object }
  expect(output).toEqual({ messageId: 'to ada@example.com', cents: '1' })
  const job = (await api.get(`/jobs/${id}`)).body as { largeOutput: number }
  expect(job).toMatchObject({ output })
  expect(job.largeOutput).toBeGreaterThan(10)
  const { jobs } = (await api.get('/jobs')).body as { jobs: object[] }
  expect(jobs).toEqual([expect.objectContaining({ id, largeOutput: job.largeOutput })])
  expect(jobs[0]).not.toHaveProperty('output')
})

test('a number of JSON that JavaScript would round is the bigint that was sent', async () => {
  for (const cents of ['9007199254740993', '9007199254740994', '-12345678901234567890123']) {
    const body = `{"input": {"to": "ada@example.com", "cents": ${cents}, "on": null}}`
    const key = { 'idempotency-key': cents }
    const spawned = await client.send('POST', '/types/send_email/jobs', body, key)
    expect(spawned.status).toBe(202)
    const again = await client.send('POST', '/types/send_email/jobs', body, key)
    expect(again.body).toMatchObject({ id: spawned.body['id'], duplicate: true })
    const job = await app.jobs.get(spawned.body['id'] as string)
    expect(job.input).toEqual({ to: 'ada@example.com', cents: BigInt(cents) })
  }
})

test('an Idempotency-Key makes the same job of the same request, also after it has finished', async () => {
  const input = { to: 'ada@example.com' }
  const send = (key: string) =>
    client.send('POST', '/types/send_email/jobs', { input }, { 'idempotency-key': key })
  const first = await send('order-1')
  await using _ = await app.start()
  await app.jobs.handle(first.body['id'] as string).result()
  const again = await send('order-1')
  expect(again).toMatchObject({ status: 202, body: { id: first.body['id'], duplicate: true } })
  expect((await send('order-2')).body).toMatchObject({ duplicate: false })
  const both = await client.send(
    'POST',
    '/types/send_email/jobs',
    { input, id: first.body['id'] },
    { 'idempotency-key': 'order-1' },
  )
  expect(both.status).toBe(400)
})

test('a unique key answers the unfinished job that has it, or 409', async () => {
  const spawn = (more: object) =>
    client.send('POST', '/types/files.index/jobs', {
      input: { name: 'a' },
      uniqueKey: 'index',
      ...more,
    })
  const first = await spawn({})
  expect((await spawn({})).body).toEqual({
    id: first.body['id'],
    duplicate: true,
    outcome: 'kept',
  })
  expect(await spawn({ onDuplicate: 'fail' })).toMatchObject({
    status: 409,
    body: { code: 'TIDEMARK_DUPLICATE_JOB', details: { id: first.body['id'] } },
  })
})

test('lists are filtered and come in pages', async () => {
  const handles = []
  for (let number = 0; number < 5; number++) {
    handles.push(await app.jobs.spawn(sendEmail, { to: 'ada@example.com' }))
  }
  await app.jobs.spawn(indexFolder, { name: 'a' }, { queue: 'slow', delay: '1h' })
  const ids = handles.map(({ id }) => id).toReversed()
  const seen: unknown[] = []
  let path = '/jobs?name=send_email&limit=2'
  for (let page = 0; page < 3; page++) {
    const { jobs, next } = (await client.get(path)).body as { jobs: { id: string }[]; next: string }
    seen.push(...jobs.map(({ id }) => id))
    expect(next === null).toBe(page === 2)
    path = `/jobs?name=send_email&limit=2&after=${next}`
  }
  expect(seen).toEqual(ids)
  const names = async (query: string): Promise<unknown[]> => {
    const { jobs } = (await client.get(`/jobs?${query}`)).body as { jobs: { name: string }[] }
    return jobs.map(({ name }) => name)
  }
  expect(await names('status=scheduled,paused')).toEqual(['files.index'])
  expect(await names('queue=slow')).toEqual(['files.index'])
  expect(await names('since=2999-01-01T00:00:00Z')).toEqual([])
})

test('jobs are paused, resumed, reprioritised, cancelled and retried', async () => {
  const { id } = await app.jobs.spawn(sendEmail, { to: 'ada@example.com' })
  const steer = async (action: string) => (await client.send('POST', `/jobs/${id}/${action}`)).body
  expect(await steer('pause')).toEqual({ id, status: 'paused' })
  expect(await steer('resume')).toEqual({ id, status: 'queued' })
  expect((await client.send('PATCH', `/jobs/${id}`, { priority: -7 })).body).toEqual({
    id,
    status: 'queued',
  })
  expect(await app.jobs.get(id)).toMatchObject({ priority: -7 })
  expect(await steer('cancel')).toEqual({ id, status: 'cancelled' })
  expect(await steer('cancel')).toMatchObject({
    status: 409,
    code: 'TIDEMARK_JOB_STATUS',
    details: { status: 'cancelled' },
  })
  expect(await steer('retry')).toEqual({ id, status: 'queued' })
  expect(await app.jobs.get(id)).toMatchObject({ triggeredBy: 'http' })
})

test('a job is told something by a signal, and is refused what is none', async () => {
  const { id } = await app.jobs.spawn(sendEmail, { to: 'ada@example.com' })
  const tell = async (body: unknown) => client.send('POST', `/jobs/${id}/signals`, body)
  const payload = { by: ['ada'], at: null }
  const told = { status: 202, body: { id, name: 'approved' } }
  expect(await tell({ name: 'approved', payload })).toMatchObject(told)
  expect(await tell({ name: 'approved' })).toMatchObject(told)
  const { rows } = await database.query(
    'select name, payload from tidemark.job_signals where job = $1 order by number',
    [id],
  )
  expect(rows).toEqual([
    { name: 'approved', payload },
    { name: 'approved', payload: null },
  ])
  const wrong = [{}, { name: '' }, { name: 'a\u0000' }, { name: 'é'.repeat(1000) }, { name: 7 }]
  for (const body of [...wrong, { name: 'a', payload: '\u0000' }, { name: 'a', what: 1 }, []]) {
    const { status } = await tell(body)
    expect([body, [400, 422].includes(status)]).toEqual([body, true])
  }
  await app.jobs.cancel(id)
  expect(await tell({ name: 'approved' })).toMatchObject({ status: 409 })
})

test('types are listed with their schemas and who runs them, and whether they can be spawned here', async () => {
  const elsewhere = defineJob('elsewhere', { input: z.object({}), run: () => {} })
  await using other = appOn(database, [elsewhere, sendEmail])
  await using _ = await other.start()
  const { types } = (await client.get('/types')).body as { types: object[] }
  expect(types).toMatchObject([
    { name: 'break_down', processes: 0, spawnable: true },
    { name: 'elsewhere', processes: 1, spawnable: false },
    { name: 'files.index', processes: 0, spawnable: true },
    {
      name: 'send_email',
      processes: 1,
      spawnable: true,
      input: {
        properties: {
          to: { format: 'email' },
          cents: { type: ['integer', 'string'] },
          on: { type: 'string', format: 'date-time' },
        },
      },
    },
  ])
})

describe('problems are told as application/problem+json', () => {
  test.each([
    ['GET', '/jobs/x', undefined, 404, 'TIDEMARK_UNKNOWN_JOB'],
    ['GET', '/jobs/0198c0de-0000-7000-8000-000000000000', undefined, 404, 'TIDEMARK_UNKNOWN_JOB'],
    ['GET', '/nowhere', undefined, 404, 'TIDEMARK_REQUEST_INVALID'],
    ['GET', '/jobs?limit=0', undefined, 400, 'TIDEMARK_REQUEST_INVALID'],
    ['GET', '/jobs?statsu=failed', undefined, 400, 'TIDEMARK_REQUEST_INVALID'],
    ['GET', '/jobs?status=lost', undefined, 400, 'TIDEMARK_REQUEST_INVALID'],
    ['GET', "/jobs?after=';drop", undefined, 400, 'TIDEMARK_REQUEST_INVALID'],
    ['POST', '/types/send_emial/jobs', {}, 404, 'TIDEMARK_UNKNOWN_JOB_TYPE'],
    ['POST', '/types/send_email/jobs', { input: { to: 'x' } }, 422, 'TIDEMARK_INVALID_INPUT'],
    ['POST', '/types/send_email/jobs', '{', 400, 'TIDEMARK_REQUEST_INVALID'],
    ['POST', '/types/send_email/jobs', { inptu: {} }, 400, 'TIDEMARK_REQUEST_INVALID'],
    ['POST', '/types/send_email/jobs', { delay: 'soon' }, 400, 'TIDEMARK_REQUEST_INVALID'],
  ] as const)('%s %s %j', async (method, path, body, status, code) => {
    const answer = method === 'GET' ? await client.get(path) : await client.send(method, path, body)
    expect(answer).toMatchObject({ status, body: { status, code } })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
    const { type, title, detail, hint } = answer.body
    expect([typeof title, typeof detail, typeof hint]).toEqual(['string', 'string', 'string'])
    expect(type).toBe(`urn:tidemark:error:${code}`)
  })

  test('with what the schema objects to, and what was meant', async () => {
    const wrong = await client.send('POST', '/types/send_email/jobs', { input: { to: 'x' } })
    expect(wrong.body).toMatchObject({
      detail: 'the input of send_email is invalid at to: Invalid email address',
      details: { issues: [{ path: 'to' }] },
    })
    const misspelt = await client.send('POST', '/types/send_emial/jobs', {})
    expect(misspelt.body).toMatchObject({ hint: 'Did you mean "send_email"?' })
  })

  test('a body that is too large is refused before it is parsed', async () => {
    const small = new ApiClient(createJobApi(app, { maxBodySize: 100 }))
    const answer = await small.send('POST', '/types/send_email/jobs', { input: 'x'.repeat(200) })
    expect(answer).toMatchObject({ status: 413, body: { code: 'TIDEMARK_REQUEST_INVALID' } })
  })

  test('a failed job shows its error without a stack', async () => {
    const handle = await app.jobs.spawn(breakDown, {})
    await using _ = await app.start()
    await expect(handle.result()).rejects.toThrow('on fire')
    const result = await client.get(`/jobs/${handle.id}/result`)
    expect(result).toMatchObject({
      status: 409,
      body: { code: 'TIDEMARK_JOB_FAILED', details: { error: { name: 'Error' } } },
    })
    for (const path of ['', '/result', '/attempts']) {
      const { body } = await client.get(`/jobs/${handle.id}${path}`)
      const text = JSON.stringify(body)
      expect(text).toContain('on fire')
      expect(text).not.toContain('stack')
      expect(text).not.toContain('jobs.ts')
    }
  })

  test('what is wrong here is logged, and not told', async () => {
    const logger = new LogBook()
    await using broken = appOn(database, [sendEmail], { logger })
    await database.query('alter table tidemark.jobs rename column run_at to ran_at')
    const api = new ApiClient(createJobApi(broken))
    const { status, body } = await api.get('/jobs')
    expect({ status, body }).toEqual({
      status: 500,
      body: { type: 'about:blank', title: 'Internal Server Error', status: 500 },
    })
    expect(logger.entries).toMatchObject([
      { level: 'error', message: 'GET /jobs failed', fields: { err: { code: '42703' } } },
    ])
  })
})

test.each([
  [{ basepath: '/x' }, 'Did you mean "basePath"?'],
  [{ basePath: 'x/' }, 'begins with a slash'],
  [{ allowedOrigins: ['https://a.example/'] }, 'a scheme, a host'],
  [{ maxStreams: 0 }, ''],
])('a wrong option is refused: %j', (options, hint) => {
  let thrown: unknown
  try {
    createJobApi(app, options as JobApiOptions)
  } catch (error) {
    thrown = error
  }
  expect(isTidemarkError(thrown, 'TIDEMARK_INVALID_OPTION')).toBe(true)
  expect((thrown as { hint: string }).hint).toContain(hint)
})
