import pg from 'pg'
import { migrateUp } from 'tidemark'
import { expect, test } from 'vitest'
import { channelOf, publisherSetting } from '../../packages/core/src/database/schema.ts'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

// Their names have one 15-bit hash, which was their lock namespace and the name of their setting.
const alike = ['tenant_122', 'tenant_252'] as const

test('one transaction that publishes in two installs whose names hash alike is read in both of them', async () => {
  for (const schema of alike) await migrateUp({ connectionString: database.url, schema })
  await using first = appOn({ url: database.url, schema: alike[0] }, [recorder('first')])
  await using second = appOn({ url: database.url, schema: alike[1] }, [recorder('second')])
  await second.start()
  // A floor of the first install, taken for one of the second, would hold nothing back there.
  for (let n = 0; n < 20; n++) await first.publish(noted({ note: 'before' }))
  const one = await second.publish(noted({ note: 'one' }))

  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('BEGIN')
  await first.publish(noted({ note: 'in the first' }), { tx: client })
  const two = await second.publish(noted({ note: 'two' }), { tx: client })
  // Committed while the other transaction has drawn a number below its own.
  const three = await second.publish(noted({ note: 'three' }))
  const { rows } = await client.query(`SELECT lowest_floor AS floor FROM ${alike[1]}.horizon()`)
  expect(rows).toEqual([{ floor: String(one.sequence) }])
  await second.waitFor('second', one.sequence)
  await client.query('COMMIT')
  await client.end()

  await second.waitFor('second', three.sequence)
  expect(await effectsOf(database, 'second')).toEqual([one.sequence, two.sequence, three.sequence])
})

test('an install takes a lock namespace that no other install of the database has', async () => {
  for (const schema of alike) await migrateUp({ connectionString: database.url, schema })
  const { rows } = await database.query(
    `SELECT ${alike[0]}.lock_namespace() AS a, ${alike[1]}.lock_namespace() AS b, tidemark.lock_namespace() AS c`,
  )
  expect(new Set(Object.values(rows[0] as object)).size).toBe(3)
})

test('installs made at once have namespaces of their own', async () => {
  const schemas = Array.from({ length: 4 }, (_, index) => `together_${index}`)
  await Promise.all(schemas.map((schema) => migrateUp({ connectionString: database.url, schema })))
  const { rows } = await database.query(
    `SELECT count(DISTINCT n)::integer AS distinct FROM (${schemas.map((schema) => `SELECT ${schema}.lock_namespace() AS n`).join(' UNION ALL ')}) AS s`,
  )
  expect(rows[0]).toEqual({ distinct: 4 })
})

test('an install that was restored beside one with its namespace is given another by migrating', async () => {
  await migrateUp({ connectionString: database.url, schema: 'restored' })
  // As a dump has it: the namespace is in the text of its functions.
  await database.query('SELECT restored.use_lock_namespace(tidemark.lock_namespace())')
  await using app = appOn({ url: database.url, schema: 'restored' }, [recorder('reader')])
  await app.publish(noted({ note: 'before' }))

  // Publishers under way have their locks where the old namespace is.
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('BEGIN')
  await app.publish(noted({ note: 'under way' }), { tx: client })
  const migrated = migrateUp({ connectionString: database.url, schema: 'restored' })
  await waitUntilBlocked()
  await client.query('COMMIT')
  await migrated
  await client.end()

  const { rows } = await database.query(
    'SELECT restored.lock_namespace() <> tidemark.lock_namespace() AS apart',
  )
  expect(rows[0]).toEqual({ apart: true })
  await app.start()
  const after = await app.publish(noted({ note: 'after' }))
  await app.waitFor('reader', after.sequence)
  expect(await effectsOf(database, 'reader')).toHaveLength(3)
  const { applied } = await migrateUp({ connectionString: database.url, schema: 'restored' })
  expect(applied).toEqual([])

  async function waitUntilBlocked(): Promise<void> {
    await expect
      .poll(
        async () =>
          (
            await database.query(
              `SELECT FROM pg_stat_activity WHERE application_name = 'tidemark migrate' AND wait_event_type = 'Lock'`,
            )
          ).rowCount,
        { timeout: 20_000 },
      )
      .toBe(1)
  }
})

test('schemas that differ only in upper and lower case do not share a setting, nor a channel', async () => {
  const names = ['Tenant', 'tenant', 'tEnant', 'te_nant', 'TENANT']
  expect(new Set(names.map((name) => publisherSetting(name).toLowerCase())).size).toBe(names.length)
  expect(new Set(names.map(channelOf)).size).toBe(names.length)
  for (const schema of ['Tenant', 'tenant'])
    await migrateUp({ connectionString: database.url, schema })
  await using upper = appOn({ url: database.url, schema: 'Tenant' }, [recorder('upper')])
  await using lower = appOn({ url: database.url, schema: 'tenant' }, [recorder('lower')])
  await lower.start()
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('BEGIN')
  await upper.publish(noted({ note: 'upper' }), { tx: client })
  const held = await lower.publish(noted({ note: 'held' }), { tx: client })
  const { rows } = await client.query('SELECT floor FROM tenant.publishers')
  expect(rows).toHaveLength(1)
  await client.query('COMMIT')
  await client.end()
  await lower.waitFor('lower', held.sequence)
  expect(await effectsOf(database, 'lower')).toEqual([held.sequence])
})

test('an advisory lock by a name is not taken for a publisher', async () => {
  await using app = appOn(database, [recorder('reader')])
  await app.start()
  const { rows } = await database.query<{ keys: string }>(
    `SELECT count(*) AS keys FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint >> 16 = tidemark.lock_namespace()`,
  )
  expect(rows[0]).toEqual({ keys: '0' })
  // An application's own exclusive lock that happens to lie in the range of the namespace.
  const holder = await database.connect()
  await holder.query('SELECT pg_advisory_lock((tidemark.lock_namespace()::bigint << 48) | 7)')
  expect((await database.query('SELECT FROM tidemark.publishers')).rowCount).toBe(0)
  await holder.end()
})
