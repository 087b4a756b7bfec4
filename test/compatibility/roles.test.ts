import pg from 'pg'
import { migrateUp, rolesSql } from 'tidemark'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const parts = ['publisher', 'worker', 'reader', 'migrator'] as const
type Part = (typeof parts)[number]

// Roles belong to the whole server: each test has its own.
let prefix = ''

beforeEach(async () => {
  prefix = `r_${database.name.replaceAll(/\W/gu, '').slice(-30)}`
  await database.query(rolesSql({ prefix }))
  for (const part of parts) {
    await database.query(
      `create role ${prefix}_${part}_user login password 'secret' in role "${prefix}_${part}"`,
    )
  }
  await database.query(`grant select, insert on effects to ${prefix}_worker_user`)
})

afterEach(async () => {
  for (const part of parts) {
    for (const role of [`${prefix}_${part}_user`, `${prefix}_${part}`]) {
      await database.query(`reassign owned by "${role}" to current_user; drop owned by "${role}"`)
      await database.query(`drop role "${role}"`)
    }
  }
})

function urlOf(part: Part): string {
  const url = new URL(database.url)
  url.username = `${prefix}_${part}_user`
  url.password = 'secret'
  return url.href
}

const insufficientPrivilege = '42501'

/** Who may run a statement. */
async function allowed(statement: string): Promise<Part[]> {
  const may: Part[] = []
  for (const part of parts) {
    const client = new pg.Client({ connectionString: urlOf(part) })
    await client.connect()
    try {
      await client.query('begin')
      await client.query(statement)
      may.push(part)
    } catch (error) {
      if ((error as { code?: string }).code !== insufficientPrivilege) throw error
    } finally {
      await client.end()
    }
  }
  return may
}

test('each role can do its part and no more', async () => {
  await database.query(`select tidemark.publish('a', '1', 's', idempotency_key => 'k')`)
  const cases: Record<string, readonly Part[]> = {
    [`insert into tidemark.events (type, payload) values ('a', '1')`]: [
      'publisher',
      'worker',
      'migrator',
    ],
    [`select tidemark.publish('a', '1', 's', 1, idempotency_key => 'k2')`]: [
      'publisher',
      'worker',
      'migrator',
    ],
    'select payload from tidemark.events': ['worker', 'reader', 'migrator'],
    'select * from tidemark.horizon()': ['worker', 'reader', 'migrator'],
    'select * from tidemark.listeners': ['worker', 'reader', 'migrator'],
    [`insert into tidemark.listeners (name, kind) values ('l', 'listener')`]: [
      'worker',
      'migrator',
    ],
    'update tidemark.cursors set cursor = 1': ['worker', 'migrator'],
    [`update tidemark.events set type = 'b'`]: ['migrator'],
    'delete from tidemark.events': ['migrator'],
    'truncate tidemark.events': ['migrator'],
    'delete from tidemark.events_default': ['migrator'],
    'select tidemark.ensure_partitions(3, 100)': ['worker', 'migrator'],
    'alter table tidemark.events detach partition tidemark.events_0': ['migrator'],
    'alter table tidemark.events alter sequence drop default': ['migrator'],
    'select last_value from tidemark.armed': ['publisher', 'worker', 'reader', 'migrator'],
    [`select setval('tidemark.armed', 0)`]: ['migrator'],
    'delete from tidemark.migrations': ['migrator'],
    'delete from tidemark.pruned_partitions': ['migrator'],
    'create table tidemark.mine ()': ['migrator'],
    'create schema another': ['migrator'],
  }
  for (const [statement, expected] of Object.entries(cases)) {
    expect([statement, await allowed(statement)]).toEqual([statement, expected])
  }
})

test('an application publishes as the publisher while another one listens as the worker', async () => {
  const logger = new LogBook()
  await using publisher = appOn(database, [noted], { connectionString: urlOf('publisher') })
  await using worker = appOn(database, [recorder('ledger')], {
    connectionString: urlOf('worker'),
    logger,
  })
  await using runner = await worker.start({ maintenanceInterval: 100, partitionSize: 5_000_000 })
  await Promise.all([
    publisher.publish(noted({ note: 'plain' })),
    publisher.publish(noted({ note: 'stream' }), { stream: 's', expectedVersion: 'none' }),
    publisher.publish(noted({ note: 'key' }), { idempotencyKey: 'k' }),
  ])
  const { sequence } = await publisher.transaction(async (tx) =>
    tx.publish(noted({ note: 'transaction' })),
  )
  await worker.waitFor('ledger', sequence, { timeout: '20s' })
  await expect
    .poll(async () => (await worker.outbox.skips()).samples, { timeout: 10_000, interval: 20 })
    .toBeGreaterThan(1)
  expect(logger.entries).toEqual([])
  await runner.stop()
})

test('the migrator migrates and prunes, and the script can be run again', async () => {
  const { applied } = await migrateUp({ connectionString: urlOf('migrator') })
  expect(applied).toEqual([])
  const elsewhere = await migrateUp({
    connectionString: urlOf('migrator'),
    schema: 'second_install',
  })
  expect(elsewhere.applied.length).toBeGreaterThan(0)
  await using app = appOn(database, [noted], { connectionString: urlOf('migrator') })
  expect(await app.outbox.prune()).toMatchObject({ partitions: [] })
  await database.query(rolesSql({ prefix }))
})
