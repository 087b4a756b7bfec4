import { createApi } from '@tidemark/http'
import { useTestDatabase } from '@tidemark/testing/vitest'
import pg from 'pg'
import { Observer, type App, type Finding } from 'tidemark'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Together } from '../../packages/core/src/database/together.ts'
import { appOn } from '../support/test-app.ts'
import { ApiClient } from './client.ts'
import { judgeBy, served } from './document.ts'
import { account, opened, world } from './system-world.ts'

const database = useTestDatabase()
let app: App

beforeEach(() => {
  app = appOn(database, [world])
})

afterEach(async () => {
  vi.restoreAllMocks()
  await app.close()
})

const peer = { address: '127.0.0.1' }

interface News {
  readonly event: string
  readonly id: string | undefined
  readonly data: Record<string, unknown>
}

/** Somebody who follows the overview, and reads when asked to. */
class Viewer implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  #text = ''

  constructor(response: Response) {
    if (response.headers.get('content-type') !== 'text/event-stream') throw new Error('no stream')
    this.#reader = (response.body as ReadableStream<Uint8Array>).getReader()
  }

  static async of(api: ReturnType<typeof createApi>, headers = {}): Promise<Viewer> {
    const request = new Request('http://localhost/overview/stream', { headers })
    return new Viewer(await api(request, peer))
  }

  /** The next event; undefined at the end. */
  async next(): Promise<News | undefined> {
    for (;;) {
      const end = this.#text.indexOf('\n\n')
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split('\n')
        this.#text = this.#text.slice(end + 2)
        const field = (name: string): string | undefined =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
        const event = field('event')
        if (event === undefined) continue
        const data = JSON.parse(field('data') ?? '') as Record<string, unknown>
        return { event, id: field('id'), data }
      }
      const { done, value } = await this.#reader.read()
      if (done) return undefined
      this.#text += new TextDecoder().decode(value)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel()
  }
}

test('all viewers together cost one look an interval, and nobody’s absence costs none', async () => {
  const looks = vi.spyOn(Observer.prototype, 'look')
  const api = createApi(app, { overviewInterval: 20 })
  const ids = new Set<string | undefined>()
  {
    await using viewers = new AsyncDisposableStack()
    const all = await Promise.all(
      Array.from({ length: 12 }, async () => viewers.use(await Viewer.of(api))),
    )
    for (let round = 0; round < 5; round++) {
      for (const news of await Promise.all(all.map((viewer) => viewer.next()))) {
        expect(news?.event).toBe('overview')
        ids.add(news?.id)
      }
    }
    // One who comes later is told at once what the others know, or what they are about to.
    const late = viewers.use(await Viewer.of(api))
    const news = await late.next()
    ids.add(news?.id)
  }
  const after = looks.mock.calls.length
  // Twelve times five answers, of no more looks than there are different ones; some were looked at and not read.
  expect(ids.size).toBeLessThanOrEqual(after)
  expect(after).toBeLessThan(30)
  // Nobody is left: a look that was under way may end, and no other begins. (And no timer is left, which is checked.)
  await vi.waitFor(() => expect(looks.mock.settledResults.length).toBe(looks.mock.calls.length))
  const settled = looks.mock.calls.length
  await createApi(app)(new Request('http://localhost/listeners'), peer)
  expect(looks.mock.calls.length).toBe(settled)
})

test('a viewer who reads slowly is told the latest, not all that it has missed', async () => {
  const api = createApi(app, { overviewInterval: 5 })
  await using slow = await Viewer.of(api)
  await using quick = await Viewer.of(api)
  const first = Number((await slow.next())?.id)
  let latest = 0
  for (let read = 0; read < 6; read++) latest = Number((await quick.next())?.id)
  expect(latest).toBeGreaterThanOrEqual(first + 4)
  expect(Number((await slow.next())?.id)).toBeGreaterThanOrEqual(latest)
})

test('it says what the document promises: rates, lags, who holds what up, what is wrong, and who runs', async () => {
  const api = createApi(app, { overviewInterval: 10 })
  const judge = judgeBy(await served(new ApiClient(api)))
  {
    await using _ = await app.start()
    const { sequence } = await app.publish(opened(account('bad')))
    await app.waitFor(['picky', 'total', 'accounts', 'greeter'], sequence)
  }
  const holder = await database.connect()
  await holder.query(`begin; select tidemark.publish('held', '1')`)
  await using viewer = await Viewer.of(api)
  await viewer.next()
  await app.publish(opened(account('b')))
  const { data } = (await viewer.next()) as News
  expect(judge('#/components/schemas/Overview', data)).toEqual([])
  expect(data).toMatchObject({
    publishers: [{ pid: expect.any(Number) as number, state: 'idle in transaction' }],
    listeners: [
      { name: 'accounts', kind: 'projection', owned: 0 },
      { name: 'greeter' },
      { name: 'picky', deadLetters: 1, partitions: 1 },
      { name: 'strict' },
      { name: 'total' },
    ],
    ok: false,
  })
  expect(data['publishRate']).toBeGreaterThanOrEqual(0)
  expect((data['findings'] as { code: string }[]).map(({ code }) => code)).toEqual(
    expect.arrayContaining(['dead-letters', 'listener-without-process']),
  )
  await holder.query('rollback')
  await holder.end()
  const now = await new ApiClient(api).get('/overview')
  expect(now.status).toBe(200)
  expect(judge('#/components/schemas/Overview', now.body)).toEqual([])
})

test('while the database cannot be reached viewers are told so, without what only the log says', async () => {
  const api = createApi(app, { overviewInterval: 5 })
  await using viewer = await Viewer.of(api)
  expect((await viewer.next())?.event).toBe('overview')
  await app.close()
  let news = await viewer.next()
  while (news?.event === 'overview') news = await viewer.next()
  expect(news).toMatchObject({ event: 'problem', data: { status: expect.any(Number) as number } })
  expect(news?.data['status']).toBeGreaterThanOrEqual(500)
  expect(news?.data['detail']).toBeUndefined()
})

test('there are no more viewers than allowed, a server that closes ends them, and a stranger is no viewer', async () => {
  const closing = new AbortController()
  const api = createApi(app, { overviewInterval: 5, maxStreams: 1, signal: closing.signal })
  await using viewer = await Viewer.of(api)
  await viewer.next()
  const more = await api(new Request('http://localhost/overview/stream'), peer)
  expect(more.status).toBe(429)
  const stranger = await api(new Request('http://localhost/overview/stream'), {})
  expect(stranger.status).toBe(403)
  closing.abort()
  let news = await viewer.next()
  while (news !== undefined) news = await viewer.next()
  expect(news).toBeUndefined()
})

test('who may not see payloads is shown no statement of others, and no facts of findings', async () => {
  const api = createApi(app, { authorize: ({ kind }) => kind === 'look', overviewInterval: 5 })
  const holder = await database.connect()
  await holder.query(`begin; select tidemark.publish('held', '"hush"')`)
  await using viewer = await Viewer.of(api)
  const news = await viewer.next()
  expect(news?.data).toMatchObject({ publishers: [{ query: null }] })
  expect(JSON.stringify(news)).not.toContain('hush')
  await holder.query('rollback')
  await holder.end()
})

test('a look is one statement, whatever is shown and however many look, and it says what the façades say', async () => {
  {
    await using _ = await app.start()
    const { sequence } = await app.publish(opened(account('bad')))
    await app.waitFor(['picky', 'total', 'accounts', 'greeter'], sequence)
  }
  const observer = app.observe({ examineEvery: 0 })
  // The first look learns what is asked.
  await observer.look()
  const sent = vi.spyOn(pg.Client.prototype, 'query')
  const snapshot = await observer.look()
  expect(sent.mock.calls.length).toBe(1)
  sent.mockRestore()
  const untimed = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value, (key, part: unknown) =>
        /seconds/iu.test(key) ? 0 : typeof part === 'bigint' ? `${part}n` : part,
      ),
    )
  const { at: _, tick: __, findings, ...rest } = snapshot
  expect(untimed(rest)).toEqual(
    untimed({
      ...(await app.outbox.position()),
      publishers: await app.outbox.publishers(),
      listeners: await app.listeners.list(),
      rebuilds: await app.rebuilds.list(),
      processes: await app.processes.list(),
      jobs: await app.jobs.openCounts(),
    }),
  )
  const codesOf = (all: readonly Finding[]): string[] =>
    all.map(({ check, code, subject }) => `${check} ${code} ${subject?.name ?? ''}`).toSorted()
  const found = await app.doctor.examine({ quick: true })
  expect(codesOf(findings)).toEqual(codesOf(found))
  expect(found.map(({ code }) => code)).toContain('dead-letters')
})

test('twenty viewers cost one statement for each look, and now and then four for a sample of types', async () => {
  const looks = vi.spyOn(Observer.prototype, 'look')
  const api = createApi(app, { overviewInterval: 10 })
  await using viewers = new AsyncDisposableStack()
  const all = await Promise.all(
    Array.from({ length: 20 }, async () => viewers.use(await Viewer.of(api))),
  )
  const read = async (): Promise<unknown> => Promise.all(all.map((viewer) => viewer.next()))
  while (looks.mock.calls.length < 10) await read()
  const kinds = vi.spyOn(Together.prototype, 'during')
  const sent = vi.spyOn(pg.Client.prototype, 'query')
  const known = new Set<string>()
  let before: number
  let isNew: boolean
  do {
    // The first look of each kind asks one by one; on a slow machine one kind may come late.
    before = looks.mock.calls.length
    kinds.mockClear()
    sent.mockClear()
    while (looks.mock.calls.length < before + 30) await read()
    const seen = kinds.mock.calls.map(([kind]) => kind)
    isNew = seen.some((kind) => !known.has(kind))
    for (const kind of seen) known.add(kind)
  } while (isNew)
  const made = looks.mock.calls.length - before
  // A connection that is opened meanwhile is given its settings, which is nobody's look.
  const texts = sent.mock.calls
    .map((call) => JSON.stringify(call))
    .filter((text) => !text.startsWith('["SET '))
  const samples = texts.filter((text) => text.includes('TABLESAMPLE'))
  const statements = texts.length - 4 * samples.length
  // One may have begun before, and one may not have ended.
  expect(statements).toBeGreaterThanOrEqual(made - 1)
  expect(statements).toBeLessThanOrEqual(made + 1)
})
