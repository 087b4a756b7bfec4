import { createApi, type ApiAccess, type ApiOptions, type Steered } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { account, accounts, greet, opened, total, world } from './system-world.ts'

const database = useTestDatabase()
let app: App

beforeEach(async () => {
  await database.query('truncate tidemark.events, tidemark.listeners, tidemark.jobs cascade')
  app = appOn(database, [world])
})

afterEach(async () => {
  await app.close()
})

function clientOf(options: ApiOptions): ApiClient {
  return new ApiClient(createApi(app, options), 'https://admin.example', {})
}

test('without a hook a stranger sees nothing, and may do nothing', async () => {
  const client = new ApiClient(createApi(app), 'http://localhost', { address: '10.0.0.7' })
  for (const path of ['/events', '/listeners', '/doctor', '/outbox', '/streams/a', '/processes']) {
    expect((await client.get(path)).status).toBe(403)
  }
  expect((await client.send('POST', '/listeners/picky/pause')).status).toBe(403)
  const { body } = await client.get('/access')
  expect(new Set(Object.values(body['allowed'] as object))).toEqual(new Set([false]))
})

test('the hook is told what a request wants, what kind of thing that is, and what it is about', async () => {
  const asked: Pick<ApiAccess, 'action' | 'kind' | 'subject' | 'type'>[] = []
  const client = clientOf({
    authorize: ({ action, kind, subject, type }) => {
      asked.push({ action, kind, subject, type })
      return false
    },
  })
  await client.get('/events?type=a')
  await client.get('/streams/a%2Fb')
  await client.send('POST', '/listeners/picky/skip')
  await client.send('POST', '/rebuilds/total/cancel')
  await client.send('POST', '/dead-letters/retry', { listener: 'picky' })
  await client.send('POST', '/types/greet/jobs', {})
  expect(asked).toEqual([
    { action: 'events', kind: 'look', subject: null, type: null },
    { action: 'streams', kind: 'look', subject: { kind: 'stream', name: 'a/b' }, type: null },
    {
      action: 'skipEvent',
      kind: 'steer',
      subject: { kind: 'listener', name: 'picky' },
      type: null,
    },
    {
      action: 'cancelRebuild',
      kind: 'steer',
      subject: { kind: 'projection', name: 'total' },
      type: null,
    },
    { action: 'retryDeadLetters', kind: 'steer', subject: null, type: null },
    { action: 'spawn', kind: 'steer', subject: null, type: 'greet' },
  ])
})

test('read only: everything can be looked at, and whatever changes something is refused', async () => {
  const { sequence } = await app.publish(opened(account('a')))
  const job = await app.jobs.spawn(greet, { id: 'a', secret: 's' })
  const client = clientOf({ authorize: () => true, readOnly: true })
  expect((await client.get(`/events/${sequence}`)).status).toBe(200)
  const { paths } = (await client.get('/openapi.json')).body as { paths: Record<string, object> }
  let refused = 0
  for (const [path, item] of Object.entries(paths)) {
    for (const method of Object.keys(item).filter((key) => key !== 'get' && key !== 'parameters')) {
      const url = path.replace('{id}', job.id).replaceAll(/\{\w+\}/gu, 'picky')
      const { status, body } = await client.send(method.toUpperCase(), url, '{}')
      expect([method, path, status, body['code']]).toEqual([
        method,
        path,
        403,
        'TIDEMARK_REQUEST_DENIED',
      ])
      refused += 1
    }
  }
  expect(refused).toBeGreaterThan(25)
  expect(await app.jobs.get(job.id)).toMatchObject({ status: 'queued', priority: 0 })
  expect(await client.get('/access')).toMatchObject({
    body: { readOnly: true, allowed: { events: true, payloads: true, spawn: false, hold: false } },
  })
})

test('who may not see payloads sees none: no payload, metadata, state, input, output, field of a log, statement or stack', async () => {
  const secret = 'hush@example.com'
  const event = opened({ id: 'bad', owner: { name: secret, email: secret } })
  const { sequence } = await app.publish(event, { stream: 's', metadata: { secret } })
  await using runner = await app.start()
  await app.waitFor([accounts, total, 'greeter', 'picky'], sequence)
  const [job] = await app.jobs.list()
  const id = job?.id ?? ''
  await app.jobs.handle(id).result()
  await runner.stop()
  const paths = [
    '/events',
    `/events/${sequence}`,
    `/events/${sequence}/decoded`,
    `/events/${sequence}/trace`,
    '/streams/s',
    '/projections/accounts/keys',
    '/projections/accounts/state?key=bad',
    '/projections/total/state',
    '/dead-letters',
    '/dead-letter-groups',
    '/listeners',
    '/doctor',
    '/outbox',
    '/jobs',
    `/jobs/${id}`,
    `/jobs/${id}/result`,
    `/jobs/${id}/steps`,
    `/jobs/${id}/attempts`,
    `/jobs/${id}/logs`,
    `/jobs/${id}/trace`,
  ]
  const all = async (client: ApiClient): Promise<string> => {
    const answers: unknown[] = []
    for (const path of paths) {
      const { status, body } = await client.get(path)
      expect([path, status]).toEqual([path, 200])
      answers.push(body)
    }
    return JSON.stringify(answers)
  }
  const open = await all(clientOf({ authorize: () => true }))
  expect(open).toContain(secret)
  expect(open).toContain('"stack"')
  const closed = await all(clientOf({ authorize: ({ action }) => action !== 'payloads' }))
  expect(closed).not.toContain(secret)
  expect(closed).not.toContain('"stack"')
  expect(closed).toContain('"payloadHidden":true')

  const veiled = clientOf({ authorize: ({ kind }) => kind === 'look' })
  // Nor can it be guessed by looking for it.
  expect((await veiled.get('/events?path=owner.email&equals=x')).status).toBe(403)
})

test('what is redacted is hidden from all, in events, jobs and states, and cannot be looked for', async () => {
  const { sequence } = await app.publish(opened(account('ada')), { stream: 's' })
  await using runner = await app.start()
  await app.waitFor([accounts, 'greeter'], sequence)
  const [job] = await app.jobs.list()
  const id = job?.id ?? ''
  await app.jobs.handle(id).result()
  await runner.stop()
  const client = clientOf({
    authorize: () => true,
    redact: [
      { event: 'accounts.*', paths: ['owner.email', 'lines.*.price'] },
      { job: 'greet', paths: ['secret'] },
      { projection: 'accounts', paths: ['email'] },
    ],
  })
  const hidden = '[redacted]'
  const payload = { id: 'ada', owner: { name: 'The ada', email: hidden } }
  expect(await client.get('/events?stream=s')).toMatchObject({ body: { events: [{ payload }] } })
  expect(await client.get(`/events/${sequence}`)).toMatchObject({ body: { event: { payload } } })
  expect(await client.get(`/events/${sequence}/decoded`)).toMatchObject({
    body: { event: { payload } },
  })
  expect(await client.get('/streams/s')).toMatchObject({ body: { events: [{ payload }] } })
  expect(await client.get('/projections/accounts/keys')).toMatchObject({
    body: { states: [{ state: { email: hidden } }] },
  })
  expect(await client.get(`/jobs/${id}`)).toMatchObject({
    body: { input: { id: 'ada', secret: hidden }, output: { secret: hidden } },
  })
  expect(await client.get(`/jobs/${id}/steps`)).toMatchObject({
    body: { steps: [{ output: { secret: hidden } }] },
  })
  expect(await client.get(`/jobs/${id}/result`)).toMatchObject({
    body: { output: { secret: hidden } },
  })
  for (const path of ['owner.email', 'owner', 'owner.email.x', 'lines.3.price']) {
    expect([path, (await client.get(`/events?path=${path}&equals=x`)).status]).toEqual([path, 403])
  }
  expect((await client.get('/events?path=owner.name&equals=The ada')).status).toBe(200)
})

test('a redaction that says nothing of what it hides, or is misspelt, is refused', () => {
  for (const redact of [[{ paths: ['a'] }], [{ evnet: 'a' }], [{ event: 'a', path: ['x'] }]]) {
    expect(() => createApi(app, { redact } as ApiOptions)).toThrow('TIDEMARK_INVALID_OPTION')
  }
  expect(() => createApi(app, { readonly: true } as ApiOptions)).toThrow('no option "readonly"')
})

test('what a foreign page could send is refused before it is looked at', async () => {
  const client = clientOf({ authorize: () => true })
  const foreign = { origin: 'https://evil.example' }
  expect((await client.send('POST', '/listeners/x/pause', {}, foreign)).status).toBe(403)
  const form = { 'content-type': 'text/plain' }
  expect((await client.send('POST', '/dead-letters/retry', '{}', form)).status).toBe(415)
})

test('whoever keeps a record is told who changed what, and what came of it', async () => {
  const told: Omit<Steered, 'at'>[] = []
  const client = clientOf({
    authorize: ({ action }) => action !== 'hold',
    triggeredBy: (request) => `user:${request.headers.get('x-user')}`,
    onSteered: ({ at, ...steered }) => {
      expect(at).toBeInstanceOf(Date)
      told.push(steered)
      throw new Error('the record is full')
    },
  })
  const ada = { 'x-user': 'ada' }
  await (await app.start()).stop()
  expect((await client.send('POST', '/listeners/picky/pause', {}, ada)).status).toBe(200)
  expect((await client.send('POST', '/listeners/nobody/reset', { to: '1' }, ada)).status).toBe(404)
  expect((await client.send('POST', '/queues/default/pause', {}, ada)).status).toBe(403)
  await client.get('/listeners')
  expect(told).toEqual([
    {
      action: 'pauseListener',
      subject: { kind: 'listener', name: 'picky' },
      asked: {},
      by: 'user:ada',
      status: 200,
    },
    {
      action: 'resetListener',
      subject: { kind: 'listener', name: 'nobody' },
      asked: { to: '1' },
      by: 'user:ada',
      status: 404,
    },
  ])
})
