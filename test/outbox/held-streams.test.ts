import type pg from 'pg'
import { defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** Holds streams in a transaction that does not end. */
async function hold(streams: readonly string[]): Promise<pg.Client> {
  const client = await database.connect()
  await client.query('BEGIN')
  for (const stream of streams) {
    await client.query(`SELECT tidemark.publish('test.noted', '{"note": "held"}', stream => $1)`, [
      stream,
    ])
  }
  return client
}

test.each([
  ['that are known', true],
  ['that the transactions have made', false],
])(
  'streams held by long transactions delay publishes to no other stream: streams %s',
  async (_, known) => {
    await using app = appOn(database, [noted])
    const held = Array.from({ length: 5 }, (__, n) => `held-${n}`)
    const busy = Array.from({ length: 5 }, (__, n) => `busy-${n}`)
    for (const stream of known ? [...held, ...busy] : busy) {
      await app.publish(noted({ note: 'before' }), { stream })
    }
    const client = await hold(held)
    let settled = 0
    const waiting = [...held, ...held].map((stream, n) =>
      app.publish(noted({ note: `waits ${n}` }), { stream }).finally(() => (settled += 1)),
    )
    // Streams that were busy once, for a moment, while the others wait.
    for (let round = 0; round < 3; round++) {
      const moment = await hold(busy)
      const published = busy.map((stream) => app.publish(noted({ note: 'again' }), { stream }))
      await moment.query('COMMIT')
      await moment.end()
      await Promise.all(published)
    }
    expect(settled).toBe(0)
    await client.query('COMMIT')
    await client.end()
    const versions = await Promise.all(waiting)
    const first = known ? 3n : 2n
    expect(versions.map(({ streamVersion }) => streamVersion)).toEqual([
      ...held.map(() => first),
      ...held.map(() => first + 1n),
    ])
  },
)

test('a publish waits for a held stream for as long as the option says, and then says what holds it', async () => {
  await using app = appOn(database, [noted], { publishQueue: { patience: 1500 } })
  await app.publish(noted({ note: 'before' }), { stream: 'held' })
  const client = await hold(['held'])
  const calls = Array.from({ length: 3 }, () =>
    app.publish(noted({ note: 'x' }), { stream: 'held' }),
  )
  for (const outcome of await Promise.allSettled(calls)) {
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { code: 'TIDEMARK_STREAM_BUSY', details: { stream: 'held' } },
    })
  }
  await client.query('ROLLBACK')
  await client.end()
  const { streamVersion } = await app.publish(noted({ note: 'after' }), { stream: 'held' })
  expect(streamVersion).toBe(2n)
})

test('inline publishes to held streams do not stand in the way of others', async () => {
  const count = defineProjection('inline_count', {
    version: 1,
    mode: 'inline',
    initial: () => 0,
  }).on(noted, (n) => n + 1)
  await using app = appOn(database, [count])
  await app.publish(noted({ note: 'before' }), { stream: 'free' })
  const held = Array.from({ length: 4 }, (_, n) => `held-${n}`)
  const client = await database.connect()
  await client.query('BEGIN')
  await client.query(`INSERT INTO tidemark.streams SELECT unnest($1::text[]), 0`, [held])
  const waiting = held.map((stream) => app.publish(noted({ note: 'waits' }), { stream }))
  for (let n = 0; n < 3; n++) await app.publish(noted({ note: 'free' }), { stream: 'free' })
  await client.query('ROLLBACK')
  await client.end()
  await Promise.all(waiting)
  expect(await app.read(count)).toBe(8)
})
