import { Validator } from '@seriousme/openapi-schema-validator'
import { createApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { App, EventSequence, Runner } from 'tidemark'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { ApiClient, type Answer } from './client.ts'
import { judgeBy, served, type Document } from './document.ts'
import { account, opened, world } from './system-world.ts'

// One worker serves all of the tests.
const database = useTestDatabase({ leakCheck: false })
let app: App
let runner: Runner
let client: ApiClient
let document: Document
let judge: (pointer: string, value: unknown) => unknown[]

beforeAll(async () => {
  app = appOn(database, [world])
  client = new ApiClient(createApi(app))
  document = await served(client)
  judge = judgeBy(document)
  runner = await app.start()
  for (const id of ['a', 'b', 'bad1', 'bad22', 'odd']) {
    await app.publish(opened(account(id)), { stream: `account-${id}`, metadata: { from: 'test' } })
  }
  await app.publish(opened(account('c')), { stream: 'account-c', correlationId: 'chain-c' })
  await until(async () => {
    const jobs = await app.jobs.list({ status: 'completed' })
    const { lastSequence } = await app.outbox.stats()
    const all = await app.listeners.list()
    return jobs.length === 6 && all.every(({ cursor }) => cursor === lastSequence)
  })
})

afterAll(async () => {
  await runner.stop()
  await app.close()
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => expect(await holds()).toBe(true), { timeout: 20_000, interval: 10 })
}

/** What a route answers, after a look whether it is what the document says. */
async function get(path: string, template = path.replace(/\?.*$/u, '')): Promise<Answer['body']> {
  const answer = await client.get(path)
  expect([path, answer.status, answer.body['detail']]).toEqual([path, 200, undefined])
  check('get', template, answer)
  return answer.body
}

async function post(path: string, template: string, body: object = {}): Promise<Answer['body']> {
  const answer = await client.send('POST', path, body)
  expect([path, answer.status, answer.body['detail']]).toEqual([path, 200, undefined])
  check('post', template, answer)
  return answer.body
}

function check(method: string, template: string, { body }: Answer): void {
  const schema =
    document.paths[template]?.[method]?.responses['200']?.content?.['application/json']?.schema
  const pointer = schema?.$ref ?? `there is no ${method} ${template}`
  expect([template, judge(pointer, body)]).toEqual([template, []])
  // No more than the document says.
  const { properties } = document.components.schemas[pointer.split('/').at(-1) ?? ''] as {
    properties: object
  }
  for (const name of Object.keys(body)) expect(Object.keys(properties)).toContain(name)
}

const types = (body: Answer['body']): unknown[] =>
  (body['events'] as { type: string }[]).map(({ type }) => type)
const ids = (body: Answer['body']): unknown[] =>
  (body['events'] as { payload: { id: string } }[]).map(({ payload }) => payload.id)

test('the document is OpenAPI 3.1, and every operation has a name of its own', async () => {
  const { valid, errors } = await new Validator().validate({ ...document })
  expect(errors).toBeUndefined()
  expect(valid).toBe(true)
  const names = Object.values(document.paths).flatMap((path) =>
    Object.values(path).flatMap(({ operationId }) => operationId ?? []),
  )
  expect(new Set(names).size).toBe(names.length)
})

test('events are found by type, stream, key, id, correlation, cause, time and what is in the payload, newest first', async () => {
  const all = await get('/events')
  expect(types(all).map(String).toSorted()).toEqual([
    ...Array.from({ length: 6 }, () => 'accounts.opened'),
    ...Array.from({ length: 6 }, () => 'accounts.welcomed'),
  ])
  const sequences = (all['events'] as { sequence: string }[]).map(({ sequence }) =>
    BigInt(sequence),
  )
  expect(sequences).toEqual(sequences.toSorted((a, b) => (a < b ? 1 : -1)))
  expect(ids(await get('/events?type=accounts.opened'))).toEqual([
    'c',
    'odd',
    'bad22',
    'bad1',
    'b',
    'a',
  ])
  expect(ids(await get('/events?stream=account-b'))).toEqual(['b'])
  expect(ids(await get('/events?key=account-odd'))).toEqual(['odd'])
  expect(types(await get('/events?correlation=chain-c'))).toEqual([
    'accounts.welcomed',
    'accounts.opened',
  ])
  expect(ids(await get('/events?path=owner.email&equals=bad1@example.com'))).toEqual(['bad1'])
  expect(types(await get('/events?path=owner&limit=3'))).toHaveLength(3)
  expect(ids(await get('/events?path=owner.nobody'))).toEqual([])
  const [{ id }] = (await get('/events?stream=account-a'))['events'] as [{ id: string }]
  expect(ids(await get(`/events?id=${id}`))).toEqual(['a'])
  expect(ids(await get('/events?until=2020-01-01T00:00:00Z'))).toEqual([])
  expect(types(await get('/events?since=2020-01-01T00:00:00%2B02:00'))).toHaveLength(12)
})

test('a page says where the next one begins, and a search that has looked at enough says where to look further', async () => {
  const seen: unknown[] = []
  let next: string | null = null
  do {
    const page: Answer['body'] = await get(
      `/events?type=accounts.opened&limit=4${next === null ? '' : `&before=${next}`}`,
    )
    seen.push(...ids(page))
    next = page['next'] as string | null
  } while (next !== null)
  expect(seen).toEqual(['c', 'odd', 'bad22', 'bad1', 'b', 'a'])

  // Whatever it looks at in one go, it finds all in the end and each once.
  for (const payload of [undefined, { path: ['owner', 'name'] }]) {
    const found: bigint[] = []
    let before: EventSequence | null = null
    for (let pages = 0; pages < 20; pages++) {
      const { events, next: further } = await app.outbox.search({
        types: ['accounts.opened'],
        examine: 2,
        ...(payload === undefined ? {} : { payload }),
        ...(before === null ? {} : { before }),
      })
      found.push(...events.map(({ sequence }) => sequence))
      before = further
      if (further === null) break
    }
    expect(found).toHaveLength(6)
    expect(new Set(found).size).toBe(6)
  }
})

test('one event, what each listener made of it, what a handler would see, and its trace', async () => {
  const [{ sequence }] = (await get('/events?stream=account-c'))['events'] as [{ sequence: string }]
  const details = await get(`/events/${sequence}`, '/events/{sequence}')
  expect(details).toMatchObject({
    event: { sequence, payload: account('c'), version: 2, payloadHidden: false },
    received: [
      { listener: 'accounts', state: 'handled' },
      { listener: 'greeter', state: 'handled' },
      { listener: 'picky', state: 'handled' },
      { listener: 'strict', state: 'handled' },
      { listener: 'total', state: 'handled' },
    ],
  })
  const trace = await get(`/events/${sequence}/trace`, '/events/{sequence}/trace')
  const nodes = trace['nodes'] as { depth: number; kind: string; name: string }[]
  expect(nodes.map(({ depth, kind, name }) => [depth, kind, name])).toEqual([
    [0, 'event', 'accounts.opened'],
    [1, 'listener', 'greeter'],
    [2, 'job', 'greet'],
    expect.arrayContaining(['step', 'write']),
    [3, 'event', 'accounts.welcomed'],
  ])
  expect(trace['complete']).toBe(true)

  const [bad] = (await get('/events?stream=account-bad1'))['events'] as [{ sequence: string }]
  const { received } = await get(`/events/${bad.sequence}`, '/events/{sequence}')
  expect(received).toContainEqual(
    expect.objectContaining({ listener: 'picky', state: 'parked', attempts: 1 }),
  )
})

test('an event is shown upcast, and one that cannot be read with the reason', async () => {
  const insert = async (type: string, payload: object, version = 1): Promise<string> => {
    const { rows } = await database.query(
      `select tidemark.publish($1, $2::jsonb, version => $3) as sequence`,
      [type, JSON.stringify(payload), version],
    )
    return String(rows[0]?.['sequence'])
  }
  await app.listeners.pause('strict')
  const old = await insert('accounts.opened', { id: 'old', name: 'Old' })
  const seen = await get(`/events/${old}/decoded`, '/events/{sequence}/decoded')
  expect(seen).toMatchObject({
    defined: true,
    event: { version: 2, payload: { id: 'old', owner: { name: 'Old', email: '' } } },
    error: null,
  })
  expect(await get(`/events/${old}`, '/events/{sequence}')).toMatchObject({
    event: { version: 1, payload: { id: 'old', name: 'Old' } },
  })
  const unknown = await insert('somebody.elses', { n: 1 })
  expect(await get(`/events/${unknown}/decoded`, '/events/{sequence}/decoded')).toMatchObject({
    defined: false,
    event: { payload: { n: 1 } },
  })
  const broken = await insert('accounts.welcomed', { id: 5 })
  const unreadable = await get(`/events/${broken}/decoded`, '/events/{sequence}/decoded')
  expect(unreadable).toMatchObject({ event: null, error: { code: 'TIDEMARK_EVENT_UNREADABLE' } })
  await database.query('delete from tidemark.events where sequence = any ($1)', [[unknown, broken]])
  await app.listeners.resume('strict')
})

test('large payloads are cut, and said to be', async () => {
  const { sequence } = await app.publish(
    opened({ id: 'large', owner: { name: 'x'.repeat(300_000), email: 'l@example.com' } }),
    { stream: 'large' },
  )
  const [listed] = (await get('/events?stream=large'))['events'] as [object]
  expect(listed).toMatchObject({ payload: null, payloadCut: true, payloadHidden: false })
  expect(await get(`/events/${sequence}`, '/events/{sequence}')).toMatchObject({
    event: { payload: null, payloadCut: true },
  })
  expect(await get('/streams/large', '/streams/{stream}')).toMatchObject({
    events: [{ payload: null, payloadCut: true }],
  })
})

test('streams by name, and one with its events', async () => {
  const names = (body: Answer['body']): unknown[] =>
    (body['streams'] as { stream: string }[]).map(({ stream }) => stream)
  expect(names(await get('/streams?prefix=account-b'))).toEqual([
    'account-b',
    'account-bad1',
    'account-bad22',
  ])
  const first = await get('/streams?limit=2')
  const second = await get(`/streams?limit=2&after=${String(first['next'])}`)
  expect(new Set([...names(first), ...names(second)]).size).toBe(4)
  // Names in any script, and with what a URL would take for its own.
  const stream = 'Konto/ß?&#%2F 口座'
  await app.publish(opened(account('x1')), { stream })
  await app.publish(opened(account('x2')), { stream })
  const path = `/streams/${encodeURIComponent(stream)}`
  const page = await get(`${path}?limit=1`, '/streams/{stream}')
  expect(page).toMatchObject({ stream, version: '2', next: '1', events: [{ streamVersion: '1' }] })
  expect(await get(`${path}?after=1`, '/streams/{stream}')).toMatchObject({
    events: [{ streamVersion: '2' }],
    next: null,
  })
  expect((await client.get('/streams/nothing')).status).toBe(404)
})

test('listeners with their partitions and who runs them; projections and what they have stored', async () => {
  const { listeners } = await get('/listeners')
  expect(listeners).toContainEqual(
    expect.objectContaining({
      name: 'picky',
      kind: 'listener',
      status: 'active',
      deadLetters: 3,
      types: ['accounts.opened'],
      partitions: [expect.objectContaining({ process: expect.stringMatching(/:\d+$/u) as string })],
    }),
  )
  await get('/listeners/picky', '/listeners/{listener}')
  const projections = await get('/projections')
  const names = (projections['listeners'] as { name: string }[]).map(({ name }) => name)
  expect(names).toEqual(['accounts', 'total'])
  expect(await get('/relays')).toEqual({ listeners: [] })
  expect(await get('/intakes')).toEqual({ listeners: [] })

  expect(await get('/projections/total/state', '/projections/{projection}/state')).toMatchObject({
    key: null,
    state: { accounts: expect.any(Number) as number },
  })
  const keys = await get('/projections/accounts/keys?limit=2', '/projections/{projection}/keys')
  expect(keys).toMatchObject({
    states: [
      { key: 'a', state: { email: 'a@example.com', welcomed: true } },
      { key: 'b', state: { email: 'b@example.com' } },
    ],
    next: 'b',
  })
  const some = await get('/projections/accounts/keys?prefix=bad', '/projections/{projection}/keys')
  expect((some['states'] as { key: string }[]).map(({ key }) => key)).toEqual(['bad1', 'bad22'])
  const one = await get('/projections/accounts/state?key=c', '/projections/{projection}/state')
  expect(one).toMatchObject({ key: 'c', state: { email: 'c@example.com' } })
  expect((await client.get('/projections/accounts/state?key=nobody')).status).toBe(404)
  expect((await client.get('/projections/picky/keys')).status).toBe(404)
})

test('dead letters are grouped by how they failed, whatever numbers their messages hold, and decided by group', async () => {
  const { groups } = await get('/dead-letter-groups?listener=picky')
  expect(groups).toEqual([
    expect.objectContaining({ events: 2, states: { parked: 2 }, type: 'accounts.opened' }),
    expect.objectContaining({
      events: 1,
      error: expect.objectContaining({ name: 'TypeError' }) as object,
    }),
  ])
  const [bad, odd] = groups as [{ group: string }, { group: string }]
  const page = await get('/dead-letters?listener=picky&limit=2')
  expect(page['deadLetters']).toHaveLength(2)
  const rest = await get(`/dead-letters?listener=picky&after=${String(page['next'])}`)
  expect(rest).toMatchObject({ deadLetters: [{ listener: 'picky', state: 'parked' }], next: null })
  const [{ sequence }] = page['deadLetters'] as [{ sequence: string }]
  await get(`/dead-letters/picky/${sequence}`, '/dead-letters/{listener}/{sequence}')

  const decide = (verb: string, body: object): Promise<Answer['body']> =>
    post(`/dead-letters/${verb}`, `/dead-letters/${verb}`, { listener: 'picky', ...body })
  expect(await decide('discard', { group: odd.group })).toEqual({ events: 1 })
  expect(await get('/dead-letters?state=skipped')).toMatchObject({
    deadLetters: [{ error: { cause: { name: 'TypeError' } } }],
  })
  expect(await decide('retry', { group: bad.group })).toEqual({ events: 2 })
  await until(async () => (await app.deadLetters.count({ states: ['retry'] })).length === 0)
  expect(await get(`/dead-letter-groups?group=${bad.group}`)).toMatchObject({
    groups: [{ events: 2, states: { parked: 2 } }],
  })
  const none = await client.send('POST', '/dead-letters/retry', {
    listener: 'picky',
    group: '0'.repeat(32),
  })
  expect(none).toMatchObject({ status: 404, body: { code: 'TIDEMARK_UNKNOWN_DEAD_LETTER' } })
})

test('a listener is paused, let go on, made to skip what it halted on, and reset', async () => {
  const of = '/listeners/{listener}'
  expect(await post('/listeners/strict/pause', `${of}/pause`)).toMatchObject({ status: 'paused' })
  expect(await post('/listeners/strict/resume', `${of}/resume`)).toMatchObject({ status: 'active' })
  const { sequence } = await app.publish(opened(account('halt')))
  await until(async () => (await app.listeners.get('strict')).status === 'halted')
  expect(await get('/listeners/strict', of)).toMatchObject({
    status: 'halted',
    partitions: [
      { failedSequence: String(sequence), lastError: { cause: { message: 'it stops here' } } },
    ],
  })
  const wrong = await client.send('POST', '/listeners/strict/skip', { sequence: '1' })
  expect(wrong).toMatchObject({ status: 409, body: { code: 'TIDEMARK_NOT_HALTED' } })
  expect(
    await post('/listeners/strict/skip', `${of}/skip`, { sequence: String(sequence) }),
  ).toEqual({
    skipped: [{ partition: 0, sequence: String(sequence), type: 'accounts.opened' }],
  })
  await app.waitFor('strict', sequence)
  await post('/listeners/strict/reset', `${of}/reset`, { to: String(sequence) })
  const ahead = await client.send('POST', '/listeners/strict/reset', { to: '999999' })
  expect(ahead).toMatchObject({ status: 422, body: { code: 'TIDEMARK_CURSOR_AHEAD' } })
  const projection = await client.send('POST', '/listeners/total/reset', {})
  expect(projection.status).toBe(400)
})

test('a projection is rebuilt, its rebuild steered, and reset in place', async () => {
  const of = '/rebuilds/{projection}'
  // So that nobody builds it, and it can be looked at.
  await runner.stop()
  const started = await post('/projections/total/rebuild', '/projections/{projection}/rebuild')
  expect(started).toMatchObject({ rebuild: { projection: 'total', state: 'running' } })
  expect(await get('/rebuilds')).toMatchObject({ rebuilds: [{ projection: 'total' }] })
  expect(await post('/rebuilds/total/pause', `${of}/pause`)).toMatchObject({
    rebuild: { state: 'paused' },
  })
  expect(await get('/rebuilds/total', of)).toMatchObject({ state: 'paused' })
  await post('/rebuilds/total/resume', `${of}/resume`)
  expect(await post('/rebuilds/total/cancel', `${of}/cancel`)).toEqual({ rebuild: null })
  expect((await client.get('/rebuilds/total')).status).toBe(404)
  const gone = await client.send('POST', '/rebuilds/total/cancel', {})
  expect(gone).toMatchObject({ status: 409, body: { code: 'TIDEMARK_NO_REBUILD' } })
  await post('/projections/total/reset', '/projections/{projection}/reset')
  expect((await client.get('/projections/total/state')).status).toBe(404)
  runner = await app.start()
  await until(async () => (await client.get('/projections/total/state')).status === 200)
})

test('the outbox, the doctor, processes, queues and types', async () => {
  expect(await get('/outbox')).toMatchObject({ strays: false, publishers: [] })
  const { findings } = await get('/doctor')
  expect(findings).toContainEqual(
    expect.objectContaining({
      code: 'dead-letters',
      status: 'warning',
      subject: { kind: 'listener', name: 'picky' },
    }),
  )
  expect(await get('/processes')).toMatchObject({
    processes: [{ pid: process.pid, alive: true, leases: expect.any(Array) as unknown }],
  })
  await app.jobs.pauses.pauseQueue('default', { by: 'ada' })
  expect(await get('/queues')).toMatchObject({
    queues: [{ name: 'default', processes: 1, limit: null, paused: { by: 'ada' } }],
  })
  await app.jobs.pauses.resumeQueue('default')
  expect(await get('/job-types')).toMatchObject({ types: [{ name: 'greet', paused: null }] })
  expect(await get('/job-counts')).toMatchObject({ counts: { failed: 0, running: 0 } })
  expect(await get('/event-types')).toMatchObject({ complete: true })
  const { readOnly, allowed } = await get('/access')
  expect(readOnly).toBe(false)
  expect(new Set(Object.values(allowed as object))).toEqual(new Set([true]))
})

test('to how many jobs something can be done is said before it is done: exactly, and only of those that are meant', async () => {
  const spawned: string[] = []
  for (const id of ['x', 'y', 'z']) {
    const job = await app.jobs.spawn('greet', { id, secret: '' }, { delay: '1d', uniqueKey: id })
    spawned.push(job.id)
  }
  const count = async (verb: string, query: string): Promise<unknown> =>
    (await get(`/bulk-counts/${verb}?${query}`, '/bulk-counts/{verb}'))['jobs']
  expect(await count('cancel', 'name=greet')).toBe(3)
  expect(await count('cancel', 'uniqueKey=y')).toBe(1)
  expect(await count('cancel', 'status=completed')).toBe(0)
  expect(await count('retry', 'name=greet')).toBe(0)
  expect(await app.jobs.bulk.cancel({ name: 'greet', status: 'scheduled' })).toMatchObject({
    done: 3,
  })
  expect(await count('cancel', 'name=greet')).toBe(0)
  expect(await count('retry', 'name=greet')).toBe(3)
  expect((await client.get('/bulk-counts/rename')).status).toBe(404)
  expect((await client.get('/bulk-counts/cancel?limit=1')).status).toBe(400)
  for (const id of spawned) await app.jobs.delete(id)
})
