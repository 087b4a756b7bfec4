import { readdirSync, readFileSync } from 'node:fs'
import { createTestDatabase } from '@tidemark/testing'
import { migrateUp, migrationStatus } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { until, untilStatus } from '../support/jobs.ts'
import { schemaFile, schemaHeader, snapshotFolder } from './files.ts'
import { populate } from './populate.ts'
import { schemaText } from './schema-text.ts'
import { shop, workerOptions } from './shop.ts'
import { editedSince, parseSnapshot, restore, type Snapshot } from './snapshot.ts'

const remedy = 'Run "npm run snapshot" and commit what it writes.'

/** The first snapshot, which is written again whenever a migration is edited. The first release freezes it. */
const baseline = 'baseline'

const snapshots = readdirSync(snapshotFolder)
  .filter((file) => file.endsWith('.sql'))
  .map((file) => ({
    release: file.replace(/\.sql$/u, ''),
    snapshot: parseSnapshot(readFileSync(new URL(file, snapshotFolder), 'utf8')),
  }))

test('migrations/schema.sql is the schema that the migrations make', async (context) => {
  await using database = await createTestDatabase()
  const { rows } = await database.query<{ version: string }>(
    `select current_setting('server_version_num') as version`,
  )
  if (Number(rows[0]?.version) < 180_000) {
    context.skip('older servers write some expressions in another way')
  }
  const found = readFileSync(schemaFile, 'utf8')
  expect(found, remedy).toBe(schemaHeader + (await schemaText(database.pool, database.schema)))
})

test.for(snapshots)(
  'the snapshot of $release was made by migrations that are still the same',
  ({ snapshot }) => {
    expect(snapshot.migrations.length).toBeGreaterThan(0)
    expect(editedSince(snapshot), remedy).toEqual([])
  },
)

describe.each(snapshots)('a database of $release', ({ release, snapshot }) => {
  /** Until the first release the migrations may be edited: then the upgrade begins with what they make now. */
  const begin = async (): Promise<Snapshot> =>
    release === baseline && editedSince(snapshot).length > 0 ? populate() : snapshot

  test('has after the upgrade the same schema as a new one', async () => {
    await using upgraded = await createTestDatabase({ migrate: false })
    await restore(upgraded, await begin())
    await migrateUp({ connectionString: upgraded.url })
    const status = await migrationStatus({ connectionString: upgraded.url })
    expect(new Set(status.map(({ state }) => state))).toEqual(new Set(['applied']))
    await using fresh = await createTestDatabase()
    expect(await schemaText(upgraded.pool, 'tidemark')).toBe(
      await schemaText(fresh.pool, 'tidemark'),
    )
  })

  test('is read and worked on by the present release: nothing is lost, nothing done twice', async () => {
    await using database = await createTestDatabase({ migrate: false })
    await restore(database, await begin())
    await migrateUp({ connectionString: database.url })
    const steps: string[] = []
    const now = shop({ release: 'new', onStep: (step) => steps.push(step) })
    await using app = now.appOn(database.url)
    const jobNamed = async (name: string): Promise<string> => {
      const [first] = (await app.jobs.list({ name })).toReversed()
      if (first === undefined) throw new Error(`no job is called ${name}`)
      return first.id
    }
    const letters = async (): Promise<string[]> => {
      const { rows } = await database.query<{ about: string }>(
        'select about from letters order by sequence',
      )
      return rows.map(({ about }) => about)
    }
    const at = new Date('2026-02-01T12:00:00Z')
    const place = (order: string, cents: bigint) =>
      now.placed({ order, cents, at, currency: 'CHF' })

    // What was stored is read as it was meant.
    expect(await app.read(now.count)).toBe(6)
    expect(await app.read(now.byOrder, 'a')).toEqual({
      cents: 123n,
      last: new Date('2026-01-01T12:00:00Z'),
    })
    expect(await app.load(now.order, 'a')).toMatchObject({
      state: { cents: 123n, paid: false },
      version: 3n,
      eventsRead: 1,
    })
    expect((await app.jobs.get(await jobNamed('report'))).output).toEqual({
      text: 'x'.repeat(500),
      at: new Date('2026-01-01T00:00:00Z'),
    })
    await expect(app.publish(place('b', 1n), { idempotencyKey: 'order b' })).rejects.toMatchObject({
      code: 'TIDEMARK_DUPLICATE_EVENT',
    })
    expect((await app.jobs.spawn(now.later, { what: 'paused' })).duplicate).toBe(true)

    // Consumers go on from their places; a new version is rebuilt from the events of the old release.
    await app.start(workerOptions)
    await app.decide(now.order, 'a', (state) => {
      expect(state.cents).toBe(123n)
      return place('a', 1n)
    })
    const { sequence } = await app.publish(place('d', 50n))
    await app.waitFor(['letters', 'by-order', 'orders'], sequence, { timeout: '30s' })
    expect(await letters()).toEqual(['a', 'a', 'a', 'b', 'c', 'a', 'd'])
    expect(await app.read(now.byOrder, 'a')).toMatchObject({ cents: 124n, last: at })
    expect(await app.read(now.count)).toBe(8)
    await until(database, `select version from tidemark.listeners where name = 'turnover'`, 2)
    await app.waitFor('turnover', sequence, { timeout: '30s' })
    expect(await app.read(now.turnover)).toEqual({
      total: 1186n,
      currencies: new Set(['EUR', 'CHF']),
    })
    const orders = await database.query('select id, cents from orders order by id')
    expect(orders.rows).toEqual([
      { id: 'a', cents: '124' },
      { id: 'b', cents: '1000' },
      { id: 'bad', cents: '5' },
      { id: 'c', cents: '7' },
      { id: 'd', cents: '50' },
    ])

    // What failed is done now.
    expect(await app.deadLetters.retry({ listener: 'letters' })).toBe(1)
    await app.listeners.resume('ledger')
    await app.waitFor('ledger', sequence, { timeout: '30s' })
    await until(database, 'select count(*)::int from letters', 8)
    expect(await letters()).toEqual(['a', 'a', 'a', 'b', 'bad', 'c', 'a', 'd'])
    await until(database, 'select count(*)::int from ledger', 8)

    // Jobs go on where they were: after their finished steps and pages, one after the other.
    const handle = (id: string) => app.jobs.handle(id)
    const imports = (await app.jobs.list({ name: 'import' })).map(({ id }) => id).toReversed()
    expect(imports).toHaveLength(2)
    expect(await handle(imports[0] ?? '').result({ timeout: '40s' })).toEqual([
      'page 1',
      'page 2',
      'page 3',
    ])
    expect(await handle(imports[1] ?? '').result({ timeout: '40s' })).toEqual(['page 1', 'page 2'])
    expect(steps).toEqual(['page 2', 'page 3', 'page 1', 'page 2'])
    await app.publish(now.paid({ order: 'a' }), { key: 'a' })
    expect(await handle(await jobNamed('invoice')).result({ timeout: '40s' })).toEqual({
      number: 7n,
      at: new Date('2026-01-01T00:00:00Z'),
      paid: 'a',
    })
    expect(steps).not.toContain('number')
    const broken = await jobNamed('broken')
    await app.jobs.retry(broken)
    expect(await handle(broken).result({ timeout: '40s' })).toBe('mended')
    const later = await app.jobs.list({ name: 'later' })
    expect(later.map(({ status }) => status)).toEqual(['paused', 'scheduled'])
    await app.jobs.resume(later[0]?.id ?? '')
    await untilStatus(database, later[0]?.id ?? '', 'scheduled')
    expect((await app.jobs.get(await jobNamed('retired'))).status).toBe('queued')
    expect((await app.outbox.skips()).skips).toEqual([])
  })
})
