import { createApi, createJobApi, type ApiOptions } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { judgeBy, served, type Document } from './document.ts'
import { world } from './system-world.ts'

const database = useTestDatabase()
let app: App

beforeEach(async () => {
  await database.query('truncate tidemark.audit')
  app = appOn(database, [world])
})

afterEach(async () => {
  await app.close()
})

const clientOf = (options: ApiOptions = {}): ApiClient => new ApiClient(createApi(app, options))
const byHeader = (request: Request): string => `user:${request.headers.get('x-user')}`

test('whatever a request changes is in the record: who, what, with what, and what came of it', async () => {
  await (await app.start()).stop()
  const client = clientOf({ triggeredBy: byHeader })
  const ada = { 'x-user': 'ada' }
  await client.send('POST', '/listeners/picky/pause', {}, ada)
  await client.send('POST', '/listeners/nobody/reset', { to: '1' }, ada)
  await client.send('POST', '/dead-letters/discard', { listener: 'picky' }, { 'x-user': 'ben' })
  await client.send('POST', '/bulk/cancel', { all: true }, ada)
  await client.get('/listeners')
  const { body } = await client.get('/audit')
  expect(judgeBy(await served(client))('#/components/schemas/Audit', body)).toEqual([])
  const { entries } = body as { entries: Record<string, unknown>[] }
  expect(entries.toReversed()).toMatchObject([
    {
      by: 'user:ada',
      via: 'http',
      action: 'pauseListener',
      subject: { kind: 'listener', name: 'picky' },
      outcome: 'done',
    },
    {
      action: 'resetListener',
      asked: { to: '1' },
      outcome: 'refused',
      code: 'TIDEMARK_UNKNOWN_LISTENER',
    },
    { by: 'user:ben', action: 'discardDeadLetters', outcome: 'refused', result: { status: 404 } },
    { action: 'cancelMany', subject: null, result: { done: 0, asked: 0 } },
  ])
  const some = await client.get('/audit?by=user:ada&action=pauseListener&limit=1')
  expect((some.body as { entries: unknown[] }).entries).toHaveLength(1)
})

/** A request for each thing that can be changed, with names that nothing has. */
function steeringRequests(document: Document): { method: string; path: string; action: string }[] {
  const looks = new Set(['get', 'head', 'parameters'])
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item)
      .filter((method) => !looks.has(method))
      .map((method) => ({
        method: method.toUpperCase(),
        path: path
          .replaceAll('{id}', '00000000-0000-4000-8000-000000000000')
          .replaceAll(/\{\w+\}/gu, 'nobody'),
        action: `${method} ${path}`,
      })),
  )
}

test('there is no request that changes something and is not recorded', async () => {
  const client = clientOf()
  const all = steeringRequests(await served(client))
  expect(all.length).toBeGreaterThan(25)
  for (const { method, path, action } of all) {
    const before = (await app.audit.list({ limit: 1 }))[0]?.id ?? 0n
    const { status } = await client.send(method, path, {})
    const [last] = await app.audit.list({ limit: 1 })
    // About a job that does not exist nobody can do anything: the gate says so before.
    const ended = path.startsWith('/jobs/0000') && status === 404
    expect([action, ended || (last?.id ?? 0n) > before]).toEqual([action, true])
  }
})

test('what is in no column of text or JSON is recorded all the same, cut, and never with payloads', async () => {
  const client = clientOf()
  await client.send('POST', '/listeners/a%00b/pause', {})
  await client.send('POST', '/types/nothing/jobs', { input: { secret: 'hush' }, queue: 'q\0' })
  await client.send('POST', '/dead-letters/retry', { listener: 'x'.repeat(9000) })
  await client.send('POST', '/dead-letters/retry', `${'['.repeat(50_000)}${']'.repeat(50_000)}`)
  const entries = await app.audit.list()
  expect(entries.map(({ outcome }) => outcome)).toEqual(Array(4).fill('refused'))
  expect(entries[3]?.subject?.name).toBe('a␀b')
  expect(entries[1]?.asked).toMatchObject({ cut: true })
  expect(entries[2]?.asked).toEqual({ queue: 'q␀' })
})

test('what cannot be recorded is not done', async () => {
  await (await app.start()).stop()
  const client = clientOf()
  await database.query('alter table tidemark.audit rename to elsewhere')
  try {
    expect((await client.send('POST', '/listeners/strict/pause', {})).status).toBe(503)
    expect((await app.listeners.get('strict')).status).toBe('active')
  } finally {
    await database.query('alter table tidemark.elsewhere rename to audit')
  }
})

test('an action whose process dies is one without an outcome; what an application does in its own way it can record', async () => {
  const subject = { kind: 'listener', name: 'picky' }
  await app.audit.begin({ via: 'chat', by: 'ada', action: 'pauseListener', subject })
  const failing = app.audit.record({ via: 'chat', by: 'ada', action: 'x' }, async () => {
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await app.audit.list({ outcome: 'open' })).toMatchObject([{ outcome: null, subject }])
  expect(await app.audit.list({ outcome: 'failed' })).toMatchObject([{ action: 'x', via: 'chat' }])
})

test('spawning for the API of jobs alone is everyday work and no steering, but cancelling is', async () => {
  const client = new ApiClient(createJobApi(app))
  await client.send('POST', '/types/nothing/jobs', {})
  await client.send('POST', '/bulk/cancel', { all: true })
  expect((await app.audit.list()).map(({ action }) => action)).toEqual(['cancelMany'])
})

test('workers keep the record as long as they are told, and no more than 100,000 actions', async () => {
  const record = (name: string): Promise<bigint> =>
    app.audit.begin({ via: 'test', by: 'ada', action: 'pause', subject: { kind: 'x', name } })
  await record('old')
  await database.query(`update tidemark.audit set at = at - interval '91 days'`)
  const stays = await record('new')
  {
    await using _ = await app.start({ maintenanceInterval: 100 })
    while ((await app.audit.list()).length > 1) await new Promise(setImmediate)
  }
  await database.query(
    `insert into tidemark.audit (id, via, by, action) overriding system value values ($1, 'test', 'ada', 'far')`,
    [String(stays + 100_000n)],
  )
  await using _ = await app.start({ maintenanceInterval: 100 })
  while ((await app.audit.list()).length > 1) await new Promise(setImmediate)
  expect((await app.audit.list()).map(({ action }) => action)).toEqual(['far'])
})
