import { exitCode } from '@tidemark/cli'
import { createTestDatabase, type TestDatabase } from '@tidemark/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { tidemark, tidemarkJson } from './tidemark.ts'

let database: TestDatabase

beforeEach(async () => {
  database = await createTestDatabase()
  await database.query('drop table tidemark.events_0, tidemark.events_10000000')
  await database.query('select tidemark.ensure_partitions(4, 100)')
  await database.query(`select tidemark.publish('a', '1') from generate_series(1, 150)`)
})

afterEach(async () => {
  await database[Symbol.asyncDispose]()
})

const call = () => ({ env: { DATABASE_URL: database.url } })

test('outbox stats shows sizes and how far the outbox is read', async () => {
  const { code, value } = await tidemarkJson<Record<string, unknown>>(['outbox', 'stats'], call())
  expect(code).toBe(0)
  expect(value).toMatchObject({ lastSequence: '150', horizon: '150', lowestCursor: null })
  const { stdout } = await tidemark(['outbox', 'stats'], call())
  expect(stdout).toMatch(/last sequence +150\n/u)
  expect(stdout).toMatch(/events_0 +0 +99 /u)
})

test('outbox prune says what it would drop, and why the next partition stays; it drops with --yes', async () => {
  const unread = await tidemark(['outbox', 'prune', '--yes'], call())
  expect(unread).toMatchObject({ code: 0 })
  expect(unread.stdout).toContain('events_0 stays: no listener has been started yet')
  await database.query(`insert into tidemark.listeners (name, kind) values ('l', 'listener')`)
  await database.query(`insert into tidemark.cursors (listener, cursor) values ('l', 120)`)
  const asked = await tidemark(['outbox', 'prune'], call())
  expect(asked.code).toBe(exitCode.usage)
  expect(asked.stderr).toMatch(/this drops 1 partition with 99 events \(.*\); events_100 stays: /u)
  expect(asked.stderr).toContain('--yes')
  const { code, value } = await tidemarkJson<{ partitions: unknown[]; stopped: unknown }>(
    ['outbox', 'prune', '--idempotency-keys', '1d', '--yes'],
    call(),
  )
  expect(code).toBe(0)
  expect(value).toMatchObject({
    partitions: [{ partition: { name: 'events_0' }, events: '99' }],
    stopped: { reason: 'horizon' },
    idempotencyKeys: 0,
  })
  const { rows } = await database.query('select count(*)::integer as n from tidemark.events')
  expect(rows).toEqual([{ n: 51 }])
})
