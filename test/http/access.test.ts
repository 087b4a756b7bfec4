import { createJobApi, type JobAccess, type Peer } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { sendEmail } from './jobs.ts'

const database = useTestDatabase()
const input = { to: 'ada@example.com' }
let app: App

beforeEach(() => {
  app = appOn(database, [sendEmail])
})

afterEach(async () => {
  await app.close()
})

async function jobsInDatabase(): Promise<unknown> {
  const { rows } = await database.query('select count(*)::integer as jobs from tidemark.jobs')
  return rows[0]?.['jobs']
}

describe('without a hook only clients on this machine are served', () => {
  const none: Record<string, string> = {}

  test.each([
    ['127.0.0.1', 'http://localhost:8080', none, 200],
    ['127.1.2.3', 'http://127.0.0.1', none, 200],
    ['::1', 'http://[::1]:8080', none, 200],
    ['::ffff:127.0.0.1', 'http://jobs.localhost', none, 200],
    ['10.0.0.7', 'http://localhost', none, 403],
    ['::ffff:10.0.0.7', 'http://localhost', none, 403],
    ['', 'http://localhost', none, 403],
    ['localhost', 'http://localhost', none, 403],
    [undefined, 'http://localhost', none, 403],
    // A proxy on this machine.
    ['127.0.0.1', 'http://localhost', { 'x-forwarded-for': '127.0.0.1' }, 403],
    ['127.0.0.1', 'http://localhost', { forwarded: 'for=127.0.0.1' }, 403],
    // A foreign name that points to this machine.
    ['127.0.0.1', 'http://rebound.example', none, 403],
    ['127.0.0.1', 'http://127.0.0.1.example', none, 403],
  ])('%s at %s with %j: %i', async (address, base, headers, status) => {
    const client = new ApiClient(createJobApi(app), base, { address })
    const answers = [
      await client.get('/jobs', headers),
      await client.get('/types', headers),
      await client.get('/openapi.json', headers),
      await client.send('POST', '/types/send_email/jobs', { input }, headers),
    ]
    const spawned = status === 200 ? 202 : status
    expect(answers.map((answer) => answer.status)).toEqual([status, status, status, spawned])
    const code = status === 403 ? 'TIDEMARK_REQUEST_DENIED' : undefined
    expect(answers[3]?.body['code']).toBe(code)
  })

  test('a stranger does not learn which jobs there are', async () => {
    const { id } = await app.jobs.spawn(sendEmail, input)
    const client = new ApiClient(createJobApi(app), undefined, { address: '10.0.0.7' })
    const paths = [`/jobs/${id}`, `/jobs/${id.replace(/.$/u, 'x')}`, '/jobs/0']
    const answers = await Promise.all(paths.map((path) => client.get(path)))
    const [first] = answers
    expect(first?.status).toBe(403)
    for (const { body } of answers) expect(body).toEqual(first?.body)
  })
})

describe('a hook decides', () => {
  test('by the action, the job, the type and the peer', async () => {
    const asked: Pick<JobAccess, 'action' | 'type' | 'peer'>[] = []
    const api = createJobApi(app, {
      authorize: ({ action, job, type, peer }) => {
        asked.push({ action, type, peer })
        return action === 'spawn' || job?.priority === 1
      },
    })
    const peer: Peer = { address: '203.0.113.9' }
    const client = new ApiClient(api, 'https://jobs.example', peer)
    const spawned = await client.send('POST', '/types/send_email/jobs', { input, priority: 1 })
    const { id } = await app.jobs.spawn(sendEmail, input)
    expect((await client.send('POST', `${spawned.headers.get('location')}/pause`)).status).toBe(200)
    expect((await client.send('POST', `/jobs/${id}/pause`)).body).toMatchObject({
      status: 403,
      detail: 'you may not pause here',
    })
    expect((await client.get('/jobs')).status).toBe(403)
    expect(await app.jobs.get(id)).toMatchObject({ status: 'queued' })
    expect(asked).toEqual([
      { action: 'spawn', type: 'send_email', peer },
      { action: 'pause', type: 'send_email', peer },
      { action: 'pause', type: 'send_email', peer },
      { action: 'list', type: null, peer },
    ])
  })

  test('with an answer of its own', async () => {
    const api = createJobApi(app, {
      authorize: () =>
        new Response('{}', { status: 401, headers: { 'www-authenticate': 'Bearer' } }),
    })
    const { status, headers } = await new ApiClient(api).get('/jobs')
    expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
  })

  test('and one that throws lets nobody in', async () => {
    const api = createJobApi(app, {
      authorize: () => {
        throw new Error('no session store')
      },
    })
    expect((await new ApiClient(api).get('/jobs')).status).toBe(500)
  })
})

describe('a foreign page cannot make a browser change anything', () => {
  const open = () => createJobApi(app, { authorize: () => true })

  test.each([
    [{ origin: 'https://evil.example' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ 'content-type': 'text/plain' }, 415],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 415],
    [{ origin: 'http://localhost', 'sec-fetch-site': 'same-origin' }, 202],
    [{ 'content-type': 'application/json; charset=utf-8' }, 202],
  ])('%j: %i', async (headers, status) => {
    const before = await jobsInDatabase()
    const client = new ApiClient(open())
    const answer = await client.send('POST', '/types/send_email/jobs', { input }, { ...headers })
    expect(answer.status).toBe(status)
    expect(await jobsInDatabase()).toBe(status === 202 ? (before as number) + 1 : before)
  })

  test('without a body, too', async () => {
    const { id } = await app.jobs.spawn(sendEmail, input)
    const api = open()
    const form = await api(new Request(`http://localhost/jobs/${id}/cancel`, { method: 'POST' }))
    expect(form.status).toBe(415)
    const page = new ApiClient(api)
    const crossed = await page.send('POST', `/jobs/${id}/cancel`, undefined, {
      origin: 'https://evil.example',
    })
    expect(crossed.status).toBe(403)
    expect(await app.jobs.get(id)).toMatchObject({ status: 'queued' })
  })

  test('unless its origin is allowed; no answer lets it read', async () => {
    const origin = 'https://admin.example'
    const api = createJobApi(app, { authorize: () => true, allowedOrigins: [origin] })
    const answer = await new ApiClient(api).send(
      'POST',
      '/types/send_email/jobs',
      { input },
      { origin },
    )
    expect(answer.status).toBe(202)
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  })
})
