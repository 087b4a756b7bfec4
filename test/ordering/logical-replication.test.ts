import { createTestDatabase, startPostgres, type TestDatabase } from '@tidemark/testing'
import { defineProjection } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { committedEvents, effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

// The subscriber, on the server of the test run.
const target = useFreshDatabase()

// Another server is started, and tables are copied by workers that look for work now and then.
vi.setConfig({ testTimeout: 120_000 })

const startSource = () => startPostgres({ source: 'embedded', settings: { wal_level: 'logical' } })

/** Until the subscriber has as many rows of a table as it should. */
async function arrived(table: string, rows: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows: counted } = await target.query<{ n: number }>(
        `select count(*)::integer as n from ${table}`,
      )
      expect(counted[0]?.n).toBe(rows)
    },
    { timeout: 60_000, interval: 50 },
  )
}

async function replicate(source: TestDatabase, tables: string): Promise<void> {
  await source.query(`create publication copy ${tables} with (publish_via_partition_root = true)`)
  await target.query(
    `create subscription ${target.name} connection '${source.url}' publication copy`,
  )
}

/** Until every table is copied and everything that was committed by now has been applied. */
async function caughtUp(source: TestDatabase): Promise<void> {
  const { rows } = await source.query<{ lsn: string }>('select pg_current_wal_lsn() as lsn')
  await vi.waitFor(
    async () => {
      const { rowCount: copying } = await target.query(
        `select from pg_subscription_rel where srsubstate <> 'r'`,
      )
      const { rowCount: applied } = await source.query(
        `select from pg_stat_replication where application_name = $1 and replay_lsn >= $2`,
        [target.name, rows[0]?.lsn],
      )
      expect([copying, applied]).toEqual([0, 1])
    },
    { timeout: 60_000, interval: 50 },
  )
}

/** Must be gone before the source is: dropping it removes its slot there. */
async function stopReplicating(): Promise<void> {
  await target.query(`drop subscription ${target.name}`)
}

test('a copy of the outbox by logical replication has every event, in the order of commits, for queries of your own', async () => {
  await using server = await startSource()
  await using source = await createTestDatabase({ server, template: effectsTemplate })
  await using app = appOn(source, [noted])
  await app.publish([noted({ note: 'a' }), noted({ note: 'b' })])
  // Partitioned there, one table here.
  await target.query('create table copied (like tidemark.events including defaults)')
  await target.query('drop table tidemark.events')
  await target.query('alter table copied set schema tidemark')
  await target.query('alter table tidemark.copied rename to events')
  await replicate(source, 'for table tidemark.events')
  try {
    await arrived('tidemark.events', 2)
    await using late = await SqlPublisher.open(source)
    await late.begin('late')
    await app.publish(noted({ note: 'early' }))
    await arrived('tidemark.events', 3)
    await late.commit()
    await arrived('tidemark.events', 4)
    const { rows } = await target.query<{ note: string; sequence: string }>(
      `select payload ->> 'note' as note, sequence from tidemark.events order by ctid`,
    )
    // Whoever remembers the last sequence that it has read here skips what commits late.
    expect(rows.map(({ note }) => note)).toEqual(['a', 'b', 'early', 'late'])
    expect(Number(rows[3]?.sequence)).toBeLessThan(Number(rows[2]?.sequence))
  } finally {
    await stopReplicating()
  }
})

test('moving to another server by logical replication: sequences set, cursors go on, nothing lost, nothing twice', async () => {
  await using server = await startSource()
  await using source = await createTestDatabase({ server, template: effectsTemplate })
  const total = defineProjection('total', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)
  const modules = [recorder('ledger'), total]
  {
    await using app = appOn(source, modules)
    await app.start()
    const handled = await app.publish(noted({ note: 'handled before' }), { stream: 's' })
    await app.waitFor(['ledger', 'total'], handled.sequence)
  }
  // What a migrated database has of its own would meet itself.
  await target.query(
    'truncate tidemark.migrations, tidemark.installation, tidemark.job_wait_cursor, tidemark.job_count_turn',
  )
  // Partitions for what will come.
  await target.query(`select setval('tidemark.events_sequence', 25000000)`)
  expect((await target.query('select tidemark.ensure_partitions() as made')).rows).toEqual([
    { made: expect.any(Number) },
  ])
  await target.query(`select setval('tidemark.events_sequence', 0)`)
  await replicate(source, 'for all tables')
  try {
    await arrived('effects', 1)
    await using app = appOn(source, modules)
    const last = await app.publish(noted({ note: 'not handled before' }), { stream: 's' })
    await caughtUp(source)
    {
      // Sequences are not replicated: there the horizon is still at zero, and nobody is given anything.
      await using early = appOn(target, modules)
      expect((await early.events().next()).done).toBe(true)
    }
    await target.query(`
      select setval('tidemark.events_sequence', (select max(sequence) from tidemark.events));
      select setval(pg_get_serial_sequence('effects', 'id'), (select max(id) from effects))`)
    await target.query('select tidemark.ensure_partitions()')
    expect(last.sequence).toBe((await committedEvents(target)).at(-1))
  } finally {
    await stopReplicating()
  }
  await using app = appOn(target, modules)
  await app.start({ maintenanceInterval: 200 })
  const after = await app.publish(noted({ note: 'after' }), { stream: 's', expectedVersion: 2n })
  await app.waitFor(['ledger', 'total'], after.sequence)
  expect(await notesOf(target, 'ledger')).toEqual(['handled before', 'not handled before', 'after'])
  expect(await effectsOf(target, 'ledger')).toEqual(await committedEvents(target))
  expect(await app.read(total)).toBe(3)
  await vi.waitFor(async () => expect((await app.outbox.skips()).samples).toBeGreaterThan(1), {
    timeout: 20_000,
    interval: 50,
  })
  expect((await app.outbox.skips()).skips).toEqual([])
  await app.close()
})

test('subscribers of a projection’s table get what its rebuild changes, however the table is published', async () => {
  const copied = (version: number) =>
    defineProjection('copied', { version, tables: ['copied'] }).on(noted, async (event, { tx }) => {
      if (version > 1 && event.payload.note === 'gone') return
      await tx.query('insert into copied values ($1, $2)', [event.sequence, version])
    })
  await using server = await startSource()
  await using source = await createTestDatabase({ server, template: effectsTemplate })
  const { rows: version } = await source.query<{ number: string }>(
    `select current_setting('server_version_num') as number`,
  )
  const table = 'create table copied (sequence bigint primary key, version integer)'
  for (const one of [source, target]) await one.query(table)
  await replicate(
    source,
    Number(version[0]?.number) < 150_000 ? 'for table copied' : 'for tables in schema public',
  )
  const rows = 'select * from copied order by sequence'
  try {
    {
      await using app = appOn(source, [copied(1)])
      await app.start()
      const events = ['a', 'gone', 'b'].map((note) => noted({ note }))
      await app.waitFor('copied', (await app.publish(events)).at(-1)?.sequence as never)
    }
    await arrived('copied', 3)
    await using app = appOn(source, [copied(2)])
    await app.start()
    await expect.poll(() => app.rebuilds.list(), { timeout: 60_000 }).toEqual([])
    await caughtUp(source)
    expect((await target.query(rows)).rows).toEqual((await source.query(rows)).rows)
    expect((await target.query(`${rows} limit 1`)).rows).toEqual([{ sequence: '1', version: 2 }])
  } finally {
    await stopReplicating()
  }
})

test('every table has something by which a subscriber finds its rows', async () => {
  const { rows } = await target.query<{ name: string }>(
    `select c.relname as name from pg_class c
     where c.relnamespace = 'tidemark'::regnamespace and c.relkind in ('r', 'p') and c.relpersistence = 'p'
       and not c.relispartition and c.relreplident <> 'f'
       and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)`,
  )
  expect(rows).toEqual([])
})
