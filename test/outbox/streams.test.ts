import { isTidemarkError } from 'tidemark'
import { expect, test } from 'vitest'
import { committedEvents, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** Every stream's versions, in the order of their sequences. */
async function versions(): Promise<Record<string, number[]>> {
  const { rows } = await database.query<{ stream: string; versions: number[] }>(
    `select stream, array_agg(stream_version::integer order by sequence) as versions
     from tidemark.events where stream is not null group by stream order by stream`,
  )
  return Object.fromEntries(rows.map((row) => [row.stream, row.versions]))
}

function upTo(last: number): number[] {
  return Array.from({ length: last }, (_, index) => index + 1)
}

test('in every stream the order of versions is the order of sequences, under sixteen concurrent appenders', async () => {
  await using app = appOn(database, [noted, recorder('ledger')], { maxConnections: 20 })
  await app.start()
  let conflicts = 0
  const appenders = Array.from({ length: 16 }, async (_, appender) => {
    for (let n = 0; n < 15; n++) {
      const stream = `stream-${(appender + n) % 3}`
      const other = `stream-${(appender + n + 1) % 3}`
      if (n % 3 === 0) {
        await app.transaction(async (tx) => {
          tx.publish([noted({ note: 'a' }), noted({ note: 'b' })], { stream })
          tx.publish(noted({ note: 'c' }), { stream: other })
        })
      } else if (n % 3 === 1) {
        await app.publish(noted({ note: 'd' }), { stream })
      } else {
        const { rows } = await database.query<{ version: string }>(
          'select version from tidemark.streams where stream = $1',
          [stream],
        )
        const expectedVersion = BigInt(rows[0]?.version ?? 0)
        await app
          .publish(noted({ note: 'e' }), { stream, expectedVersion })
          .catch((error: unknown) => {
            if (!isTidemarkError(error, 'TIDEMARK_STREAM_CONFLICT')) throw error
            conflicts += 1
          })
      }
    }
  })
  await Promise.all(appenders)

  const found = await versions()
  expect(Object.keys(found)).toEqual(['stream-0', 'stream-1', 'stream-2'])
  for (const list of Object.values(found)) expect(list).toEqual(upTo(list.length))
  const total = Object.values(found).reduce((sum, list) => sum + list.length, 0)
  expect(total).toBe(16 * (5 * 3 + 5 + 5) - conflicts)
  const { rows } = await database.query<{ version: string }>(
    'select version from tidemark.streams order by stream',
  )
  expect(rows.map(({ version }) => Number(version))).toEqual(
    Object.values(found).map((list) => list.length),
  )
})

test('of many publishers that expect the same version one wins, and the others are told the present one', async () => {
  await using app = appOn(database, [noted])
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, n) =>
      app.publish(noted({ note: `${n}` }), { stream: 's', expectedVersion: 'none' }),
    ),
  )
  const lost = outcomes.filter((outcome) => outcome.status === 'rejected')
  expect(lost).toHaveLength(7)
  for (const { reason } of lost) {
    expect(reason).toMatchObject({
      code: 'TIDEMARK_STREAM_CONFLICT',
      details: { stream: 's', expectedVersion: 0n, actualVersion: 1n },
    })
  }
  expect(await versions()).toEqual({ s: [1] })
})

test('an expected version is exact, none or any, and counts through the events of one call', async () => {
  await using app = appOn(database, [noted])
  const two = [noted({ note: 'a' }), noted({ note: 'b' })]
  const first = await app.publish(two, { stream: 's', expectedVersion: 'none' })
  expect(first.map((event) => event.streamVersion)).toEqual([1n, 2n])
  const second = await app.publish(two, { stream: 's', expectedVersion: 2 })
  expect(second.map((event) => event.streamVersion)).toEqual([3n, 4n])
  await app.publish(two, { stream: 's', expectedVersion: 'any' })
  await expect(app.publish(two, { stream: 's', expectedVersion: 5n })).rejects.toMatchObject({
    code: 'TIDEMARK_STREAM_CONFLICT',
    details: { actualVersion: 6n, expectedVersion: 5n },
  })
  await expect(app.publish(two, { stream: 's', expectedVersion: 7 })).rejects.toMatchObject({
    code: 'TIDEMARK_STREAM_CONFLICT',
  })
  expect(await versions()).toEqual({ s: upTo(6) })
})

test('an idempotency key is used once: a second publish is told the sequence of the first', async () => {
  await using app = appOn(database, [noted])
  const first = await app.publish(noted({ note: 'once' }), { idempotencyKey: 'k' })
  const outcomes = await Promise.allSettled([
    app.publish(noted({ note: 'twice' }), { idempotencyKey: 'k' }),
    app.publish([noted({ note: 'x' }), noted({ note: 'y' })], { idempotencyKey: 'list' }),
    app.transaction(async (tx) => {
      tx.publish(noted({ note: 'same key twice in one' }), { idempotencyKey: 'm' })
      tx.publish(noted({ note: 'same key twice in one' }), { idempotencyKey: 'm' })
    }),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected'])
  expect(outcomes[0]).toMatchObject({
    reason: { code: 'TIDEMARK_DUPLICATE_EVENT', details: { sequence: first.sequence } },
  })
  expect(outcomes[2]).toMatchObject({ reason: { code: 'TIDEMARK_DUPLICATE_EVENT' } })
  expect(await committedEvents(database)).toHaveLength(3)
  // A transaction that did not commit has used no key.
  await app.publish(noted({ note: 'later' }), { idempotencyKey: 'm' })
  expect(await committedEvents(database)).toHaveLength(4)
})

test('appenders that take the same streams in different orders do not deadlock', async () => {
  await using app = appOn(database, [noted], { maxConnections: 10 })
  const streams = ['a', 'b', 'c', 'd']
  const appenders = Array.from({ length: 8 }, async (_, appender) => {
    for (let n = 0; n < 15; n++) {
      const turned = [...streams.slice((appender + n) % 4), ...streams.slice(0, (appender + n) % 4)]
      await app.transaction(async (tx) => {
        for (const stream of turned) tx.publish(noted({ note: `${appender}` }), { stream })
      })
    }
  })
  await Promise.all(appenders)
  expect(await versions()).toEqual({
    a: upTo(120),
    b: upTo(120),
    c: upTo(120),
    d: upTo(120),
  })
})
