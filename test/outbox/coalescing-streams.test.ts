import { expect, test } from 'vitest'
import { committedEvents, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** The number of transactions that committed the events. */
async function transactions(): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'select count(distinct xid)::integer as n from tidemark.events',
  )
  return rows[0]?.n ?? 0
}

async function versionsOf(stream: string): Promise<number[]> {
  const { rows } = await database.query<{ version: number }>(
    `select stream_version::integer as version from tidemark.events where stream = $1 order by sequence`,
    [stream],
  )
  return rows.map(({ version }) => version)
}

const oneTo = (n: number): number[] => Array.from({ length: n }, (_, index) => index + 1)

test('calls to different streams share commits, and each gets its own versions', async () => {
  await using app = appOn(database, [noted])
  const published = await Promise.all(
    Array.from({ length: 300 }, (_, n) =>
      app.publish([noted({ note: `${n} a` }), noted({ note: `${n} b` })], {
        stream: `account-${n}`,
        expectedVersion: 'none',
      }),
    ),
  )
  expect(published.map((events) => events.map((event) => event.streamVersion))).toEqual(
    Array.from({ length: 300 }, () => [1n, 2n]),
  )
  expect(published.flat().map((event) => event.sequence)).toEqual(await committedEvents(database))
  expect(await transactions()).toBeLessThan(10)
})

test('each call of a shared statement is judged alone: conflicts and duplicates reach their own callers', async () => {
  await using app = appOn(database, [noted])
  await app.publish(noted({ note: 'first' }), { stream: 's-1', idempotencyKey: 'used' })
  const before = await transactions()
  const outcomes = await Promise.allSettled([
    app.publish(noted({ note: 'right' }), { stream: 's-1', expectedVersion: 1 }),
    app.publish([noted({ note: 'no' }), noted({ note: 'no' })], {
      stream: 's-2',
      expectedVersion: 4,
    }),
    app.publish(noted({ note: 'no' }), { stream: 's-3', idempotencyKey: 'used' }),
    app.publish(noted({ note: 'new' }), { stream: 's-4', idempotencyKey: 'fresh' }),
    app.publish(noted({ note: 'keyed' }), { idempotencyKey: 'other' }),
  ])
  expect(outcomes.map((one) => (one.status === 'rejected' ? one.reason : one.value))).toMatchObject(
    [
      { stream: 's-1', streamVersion: 2n },
      { code: 'TIDEMARK_STREAM_CONFLICT', details: { stream: 's-2', actualVersion: 0n } },
      { code: 'TIDEMARK_DUPLICATE_EVENT', details: { idempotencyKey: 'used', sequence: 1n } },
      { stream: 's-4', streamVersion: 1n },
      { stream: null },
    ],
  )
  expect(await transactions()).toBe(before + 1)
  // Neither a refused event nor a claim of a refused call is left.
  expect(await committedEvents(database)).toHaveLength(4)
  const keys = await database.query('select key from tidemark.idempotency_keys order by key')
  expect(keys.rows.map((row) => row['key'])).toEqual(['fresh', 'other', 'used'])
})

test('calls to one stream are appended in the order in which they were made', async () => {
  await using app = appOn(database, [noted])
  await Promise.all(
    Array.from({ length: 200 }, (_, n) => app.publish(noted({ note: `${n}` }), { stream: 'hot' })),
  )
  expect(await versionsOf('hot')).toEqual(oneTo(200))
  const { rows } = await database.query<{ note: string }>(
    `select payload ->> 'note' as note from tidemark.events order by sequence`,
  )
  expect(rows.map(({ note }) => note)).toEqual(Array.from({ length: 200 }, (_, n) => `${n}`))
  expect(await transactions()).toBeLessThan(10)
})

test('of callers who expect the same version one wins; those who expect the next versions follow', async () => {
  await using app = appOn(database, [noted])
  const race = await Promise.allSettled(
    Array.from({ length: 20 }, () =>
      app.publish(noted({ note: 'race' }), { stream: 'race', expectedVersion: 'none' }),
    ),
  )
  expect(race.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  await Promise.all(
    oneTo(20).map((version) =>
      app.publish(noted({ note: 'chain' }), { stream: 'race', expectedVersion: version }),
    ),
  )
  expect(await versionsOf('race')).toEqual(oneTo(21))
})

test('two processes that publish to the same streams and keys neither deadlock nor lose a call', async () => {
  await using left = appOn(database, [noted])
  await using right = appOn(database, [noted])
  const streams = ['c', 'a', 'b', 'e', 'd']
  const outcomes = await Promise.allSettled(
    Array.from({ length: 400 }, (_, n) =>
      (n % 2 === 0 ? left : right).publish(noted({ note: `${n}` }), {
        stream: streams[n % 5] as string,
        idempotencyKey: `key-${(n * 7) % 200}`,
      }),
    ),
  )
  const refused = outcomes.filter((one) => one.status === 'rejected').map((one) => one.reason)
  expect(refused).toHaveLength(200)
  expect(new Set(refused.map((error: { code: string }) => error.code))).toEqual(
    new Set(['TIDEMARK_DUPLICATE_EVENT']),
  )
  for (const stream of streams) {
    const versions = await versionsOf(stream)
    expect(versions).toEqual(oneTo(versions.length))
  }
  expect(await committedEvents(database)).toHaveLength(200)
})

test('a stream that another transaction holds delays its own callers only', async () => {
  await using app = appOn(database, [noted])
  await app.publish(noted({ note: 'first' }), { stream: 'held' })
  const other = await database.connect()
  await other.query('begin')
  await other.query(`select tidemark.publish('test.noted', '{"note":"theirs"}', stream => 'held')`)
  let waited = 0
  const held = Array.from({ length: 50 }, (_, n) =>
    app.publish(noted({ note: `held ${n}` }), { stream: 'held' }).finally(() => {
      waited += 1
    }),
  )
  const free = await Promise.all([
    ...Array.from({ length: 50 }, (_, n) =>
      app.publish(noted({ note: 'free' }), { stream: `free-${n % 10}` }),
    ),
    ...Array.from({ length: 50 }, () => app.publish(noted({ note: 'plain' }))),
  ])
  expect(free).toHaveLength(100)
  expect(waited).toBe(0)
  await other.query('commit')
  await other.end()
  await Promise.all(held)
  expect(await versionsOf('held')).toEqual(oneTo(52))
})

test('a call that the server refuses is found among many, and the others are published', async () => {
  await database.query(
    `alter table tidemark.events add constraint no_bad check (payload ->> 'note' <> 'bad')`,
  )
  await using app = appOn(database, [noted])
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, (_, n) =>
      app.publish(noted({ note: n === 37 ? 'bad' : 'good' }), { stream: `s-${n}` }),
    ),
  )
  expect(outcomes.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []))).toEqual([37])
  expect(outcomes[37]).toMatchObject({ reason: { code: '23514' } })
  expect(await committedEvents(database)).toHaveLength(99)
})

test('a queue that is full refuses the call and says what to do; what it holds is published', async () => {
  await using app = appOn(database, [noted], { publishQueue: { events: 10 } })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, (_, n) => app.publish(noted({ note: `${n}` }))),
  )
  expect(outcomes.map(({ status }) => status)).toEqual([
    ...Array.from({ length: 10 }, () => 'fulfilled'),
    'rejected',
    'rejected',
  ])
  expect(outcomes[11]).toMatchObject({
    reason: { code: 'TIDEMARK_PUBLISH_QUEUE_FULL', details: { waiting: 10 } },
  })
  expect(await committedEvents(database)).toHaveLength(10)
  // Larger than the queue, with nobody before it; and the places of refused and published calls are free again.
  const many = Array.from({ length: 25 }, (_, n) => noted({ note: `list ${n}` }))
  expect(await app.publish(many)).toHaveLength(25)
  await expect(
    app.publish(noted({ note: 'x' }), { stream: 's', expectedVersion: 9 }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
  expect(await Promise.all(many.slice(0, 10).map((draft) => app.publish(draft)))).toHaveLength(10)
})

test('the queue is bounded in bytes too', async () => {
  await using app = appOn(database, [noted], { publishQueue: { bytes: 5_000_000 } })
  const note = 'x'.repeat(1_000_000)
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, () => app.publish(noted({ note }))),
  )
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(4)
})

test('closing publishes what waits, also for a stream that another transaction holds', async () => {
  const other = await database.connect()
  await other.query('begin')
  await other.query(`select tidemark.publish('test.noted', '{"note":"theirs"}', stream => 'other')`)
  const app = appOn(database, [noted])
  const calls = ['a', 'b', 'a', 'other'].map((stream) =>
    app.publish(noted({ note: stream }), { stream }),
  )
  const closed = app.close()
  await Promise.all(calls.slice(0, 3))
  await other.query('commit')
  await other.end()
  await Promise.all([...calls, closed])
  expect(await committedEvents(database)).toHaveLength(5)
})
