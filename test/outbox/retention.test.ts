import { defineEvent, defineProjection, toEventSequence, type EventSequence } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { committedEvents, effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { smallPartitions } from '../support/small-partitions.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const day = 86_400_000

const notes = defineProjection('notes', { version: 1, initial: () => 0 }).on(
  noted,
  (count) => count + 1,
)

async function partitions(): Promise<string[]> {
  const { rows } = await database.query<{ name: string }>(
    `select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'tidemark.events'::regclass order by c.oid`,
  )
  return rows.map(({ name }) => name).filter((name) => name !== 'events_default')
}

const unrelated = defineEvent('test.unrelated', { payload: z.object({}) })

const drafts = (count: number) => Array.from({ length: count }, () => noted({ note: 'n' }))

test('whole partitions that every listener has passed are dropped, and the newest stays', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('fast'), recorder('slow')])
  const runner = await app.start({ partitionSize: 100 })
  const published = await app.publish(drafts(350))
  const last = published.at(-1)?.sequence ?? null
  await app.waitFor('fast', last)
  await app.waitFor('slow', last)
  await runner.stop()
  // One listener is behind, in the second partition.
  await app.listeners.reset('slow', published[149]?.sequence)

  const plan = await app.outbox.planPrune()
  expect(plan.map(({ partition, reason }) => [partition.name, reason])).toEqual([
    ['events_0', null],
    ['events_100', 'unread'],
  ])
  expect(plan[0]?.events).toBe(99n)
  expect(plan[1]?.because).toBe('slow is at 150')
  expect((await partitions()).length).toBe(11)

  const { partitions: gone, stopped } = await app.outbox.prune()
  expect(gone.map(({ partition }) => partition.name)).toEqual(['events_0'])
  expect(stopped).toMatchObject({ reason: 'unread' })
  expect(await committedEvents(database)).toHaveLength(251)

  await using again = await app.start()
  await app.waitFor('slow', last)
  await again.stop()
  expect((await effectsOf(database, 'slow')).length).toBe(350 + 200)
  const rest = await app.outbox.prune()
  expect(rest.partitions.map(({ partition }) => partition.name)).toEqual([
    'events_100',
    'events_200',
  ])
  expect(rest.stopped).toMatchObject({ reason: 'horizon', partition: { name: 'events_300' } })
  expect(await app.outbox.stats()).toMatchObject({ prunedBelow: 300n, strays: false })
  expect(await app.outbox.prune()).toMatchObject({ partitions: [] })
})

test('what a projection or a stream needs stays unless it is given up; then a rebuild is refused', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [notes])
  const runner = await app.start()
  await app.publish(drafts(120))
  const last = (await app.publish(drafts(120), { stream: 's' })).at(-1)?.sequence ?? null
  await app.waitFor(notes, last)

  expect((await app.outbox.prune()).stopped).toMatchObject({
    reason: 'projections',
    because: 'notes could not be derived from zero any more',
  })
  await app.rebuild(notes)
  await expect.poll(() => app.rebuilds.progress('notes'), { timeout: 20_000 }).toBeUndefined()

  const given = await app.outbox.prune({ evenProjections: true })
  expect(given.partitions.map(({ partition }) => partition.name)).toEqual(['events_0'])
  expect(given.stopped).toMatchObject({ reason: 'streams', partition: { name: 'events_100' } })
  await expect(app.rebuild(notes)).rejects.toMatchObject({ code: 'TIDEMARK_EVENTS_PRUNED' })
  await expect(app.reset(notes)).rejects.toMatchObject({
    code: 'TIDEMARK_EVENTS_PRUNED',
    details: { below: 100n },
  })
  expect(await app.read(notes)).toBe(240)
  const all = await app.outbox.prune({ evenProjections: true, evenStreams: true })
  expect(all.partitions.map(({ partition }) => partition.name)).toEqual(['events_100'])
  await runner.stop()
})

test('a listener is not sent back to before pruned events that it handles, unless told', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger'), recorder('other', {}, unrelated)])
  const runner = await app.start()
  const published = await app.publish(drafts(250))
  const last = published.at(-1)?.sequence ?? null
  await app.waitFor(['ledger', 'other'], last)
  await app.outbox.prune()
  await expect(app.listeners.reset('ledger')).rejects.toMatchObject({
    code: 'TIDEMARK_EVENTS_PRUNED',
    details: { listener: 'ledger', after: 0n, below: 200n },
  })
  await expect(app.listeners.reset('ledger', toEventSequence(198))).rejects.toMatchObject({
    code: 'TIDEMARK_EVENTS_PRUNED',
  })
  expect((await app.listeners.get('ledger')).cursor).toBe(last)
  // It would not miss any: the pruned ones were not its own, or it has passed them.
  await app.listeners.reset('other')
  await app.listeners.reset('ledger', toEventSequence(199))
  await app.waitFor(['ledger', 'other'], last)
  expect(await effectsOf(database, 'ledger')).toHaveLength(250 + 51)
  await app.listeners.reset('ledger', toEventSequence(0), { evenPruned: true })
  await app.waitFor('ledger', last)
  expect(await effectsOf(database, 'ledger')).toHaveLength(250 + 51 + 51)
  await expect(
    app.listeners.reset('ledger', toEventSequence(0), { evenPrund: true } as never),
  ).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  await runner.stop()
})

test('a listener that is sent back and a prune that begins meanwhile do not pass each other', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  const published = await app.publish(drafts(150))
  await app.waitFor('ledger', published.at(-1)?.sequence ?? null)
  await runner.stop()
  // The reset is held in its middle, at the cursor's row.
  const holder = await database.connect()
  await holder.query('begin; select from tidemark.cursors for update')
  const waiting = async (event: string) => {
    const { rowCount } = await database.query(
      `select from pg_stat_activity where datname = current_database() and wait_event = $1`,
      [event],
    )
    return rowCount
  }
  const back = app.listeners.reset('ledger')
  await expect.poll(() => waiting('transactionid'), { timeout: 10_000, interval: 20 }).toBe(1)
  const pruning = app.outbox.prune()
  await expect.poll(() => waiting('advisory'), { timeout: 10_000, interval: 20 }).toBe(1)
  await holder.query('commit')
  await holder.end()
  await back
  expect((await pruning).partitions).toEqual([])
  expect(await committedEvents(database)).toHaveLength(150)
})

test('nothing goes by time alone, nor while nobody reads, nor under a dead letter', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger')])
  await app.publish(drafts(250))
  await database.query(`update tidemark.events set recorded_at = now() - interval '100 days'`)
  expect(await app.outbox.prune({ olderThan: 90 * day })).toMatchObject({
    partitions: [],
    stopped: { reason: 'unread', because: 'no listener has been started yet' },
  })
  const runner = await app.start()
  await app.waitFor('ledger', (await app.outbox.stats()).lastSequence)
  await runner.stop()
  await database.query(
    `insert into tidemark.dead_letters (listener, generation, sequence, type, event_id, holds_key, state)
     select 'ledger', 1, sequence, type, id, false, 'parked' from tidemark.events where sequence = 150`,
  )
  await database.query(`update tidemark.events set recorded_at = now() where sequence = 60`)
  expect((await app.outbox.prune({ olderThan: 90 * day })).stopped).toMatchObject({ reason: 'age' })
  expect(await app.outbox.prune()).toMatchObject({
    partitions: [{ partition: { name: 'events_0' } }],
    stopped: { reason: 'dead-letters', partition: { name: 'events_100' } },
  })
})

test('archived partitions keep their events in another schema, and can be attached again', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  const published = await app.publish(drafts(150))
  await app.waitFor('ledger', published.at(-1)?.sequence ?? null)
  await runner.stop()
  await app.outbox.prune({ archive: 'tidemark_archive' })
  expect(await committedEvents(database)).toHaveLength(51)
  const { rows } = await database.query('select archive from tidemark.pruned_partitions')
  expect(rows).toEqual([{ archive: 'tidemark_archive.events_0' }])
  await database.query(
    `alter table tidemark.events attach partition tidemark_archive.events_0 for values from (0) to (100)`,
  )
  expect(await committedEvents(database)).toEqual(published.map((event) => event.sequence))
})

test('pruning and making partitions in many processes at once, under publishers, loses nothing', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger')])
  // Larger ones follow the ten small ones: maintenance is at work as long as the test is.
  await using runner = await app.start({ maintenanceInterval: 100, partitionSize: 1_000 })
  const gone: string[] = []
  const load = Array.from({ length: 4 }, async () => {
    let count = 0
    while (gone.length < 6) count += (await app.publish([noted({ note: 'n' })])).length
    return count
  })
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      await using other = appOn(database, [])
      while (gone.length < 6) {
        const next = BigInt(100 * (gone.length + 1)) as EventSequence
        await app.waitFor('ledger', next, { timeout: '60s' })
        const { partitions: pruned } = await other.outbox.prune()
        gone.push(...pruned.map(({ partition }) => partition.name))
      }
    }),
  )
  const counts = await Promise.all(load)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const { lastSequence } = await app.outbox.stats()
  await app.waitFor('ledger', lastSequence)
  expect(await effectsOf(database, 'ledger')).toHaveLength(total)
  // Each went once, and in order.
  expect(new Set(gone).size).toBe(gone.length)
  const { rows } = await database.query(
    `select coalesce(sum(events), 0)::integer as gone, (select count(*)::integer from tidemark.events) as kept
     from tidemark.pruned_partitions`,
  )
  expect(rows).toEqual([{ gone: expect.any(Number), kept: expect.any(Number) }])
  expect(Number(rows[0]?.['gone']) + Number(rows[0]?.['kept'])).toBe(total)
  expect(await app.outbox.stats()).toMatchObject({ strays: false })
  await runner.stop()
})

test('a reader that holds the outbox open for long delays pruning, not publishing', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  const published = await app.publish(drafts(150))
  await app.waitFor('ledger', published.at(-1)?.sequence ?? null)
  await runner.stop()
  const reader = await database.connect()
  await reader.query('begin; select count(*) from tidemark.events')
  const pruning = app.outbox.prune()
  // It gives way again and again; a publish is never behind it for longer than it waits.
  for (let n = 0; n < 5; n++) await app.publish(noted({ note: 'meanwhile' }))
  await reader.query('commit')
  await reader.end()
  expect(await pruning).toMatchObject({ partitions: [{ partition: { name: 'events_0' } }] })
})

test('idempotency keys are forgotten after the time that they are kept', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.publish(noted({ note: 'old' }), { idempotencyKey: 'old' })
  await database.query(
    `update tidemark.idempotency_keys set recorded_at = now() - interval '2 days'`,
  )
  await app.publish(noted({ note: 'new' }), { idempotencyKey: 'new' })
  expect(await app.outbox.forgetIdempotencyKeys(day)).toBe(1)
  await app.publish(noted({ note: 'old again' }), { idempotencyKey: 'old' })
  await expect(app.publish(noted({ note: 'n' }), { idempotencyKey: 'new' })).rejects.toMatchObject({
    code: 'TIDEMARK_DUPLICATE_EVENT',
  })
  await database.query(
    `update tidemark.idempotency_keys set recorded_at = now() - interval '2 days'`,
  )
  await using runner = await app.start({ keepIdempotencyKeys: day })
  const left = async () => (await database.query('select from tidemark.idempotency_keys')).rowCount
  await expect.poll(left, { timeout: 10_000, interval: 20 }).toBe(0)
  await runner.stop()
})

test('workers drop the partitions that are older than the outbox is kept, and spare what a job or a relay needs', async () => {
  await smallPartitions(database)
  const logger = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger })
  const runner = await app.start({ partitionSize: 100 })
  const published = await app.publish(drafts(350), { key: 'k' })
  await app.waitFor('ledger', published.at(-1)?.sequence ?? null)
  await runner.stop()
  await database.query(
    `update tidemark.events set recorded_at = now() - interval '10 days' where sequence < 250`,
  )
  const plan = async (): Promise<unknown> =>
    (await app.outbox.planPrune({ olderThan: day })).map(({ partition, reason }) => [
      partition.name,
      reason,
    ])
  // A job that waits for one of the second partition, and then a relay that has sent what is of today.
  await database.query(`
    insert into tidemark.jobs (id, name, input, status, run_at)
    values ('00000000-0000-7000-8000-000000000001', 'waits', '1', 'scheduled', 'infinity');
    insert into tidemark.job_steps (job, step, kind, output)
    values ('00000000-0000-7000-8000-000000000001', 's', 'event', '{"types": ["test.noted"], "key": "k", "after": "150"}')`)
  expect(await plan()).toEqual([
    ['events_0', null],
    ['events_100', 'jobs'],
  ])
  await using working = await app.start({
    partitionSize: 100,
    keepEvents: day,
    maintenanceInterval: 100,
  })
  await logger.wrote(/events_100 is not pruned: waits 00000000-0000-7000-8000-000000000001/u)
  expect((await partitions()).slice(0, 2)).toEqual(['events_100', 'events_200'])
  await working.stop()
  await database.query('delete from tidemark.job_steps')
  await using again = await app.start({
    partitionSize: 100,
    keepEvents: { olderThan: day, evenStreams: true },
    maintenanceInterval: 100,
  })
  await expect.poll(partitions, { timeout: 10_000 }).not.toContain('events_100')
  await again.stop()
  // The last event is older than asked for, others of the partition are not.
  expect(await plan()).toEqual([['events_200', 'age']])
  await database.query(`
    update tidemark.events set recorded_at = now() - interval '2 hours';
    insert into tidemark.listeners (name, kind, mode, version, definition)
    values ('out', 'relay', 'async', 1, '{"types": ["test.noted"]}');
    insert into tidemark.cursors (listener, generation, partition, cursor) values ('out', 1, 0, 350)`)
  const relayed = async (options: object): Promise<unknown> =>
    (await app.outbox.planPrune(options)).map(({ reason }) => reason)
  expect(await relayed({})).toEqual(['relays'])
  expect(await relayed({ relayMargin: 3_600_000 })).toEqual([null, 'horizon'])
})

test('events in the default partition raise an alarm, and keep maintenance from nothing else', async () => {
  const logger = new LogBook()
  await using app = appOn(database, [recorder('ledger')], { logger })
  await database.query(`select setval('tidemark.events_sequence', 200000000)`)
  await database.query(`select tidemark.publish('stray', '1')`)
  const runner = await app.start({ maintenanceInterval: 100 })
  const { level } = await logger.wrote(/events are in the default partition/u)
  expect(level).toBe('error')
  await expect
    .poll(async () => (await app.outbox.skips()).samples, { timeout: 10_000, interval: 20 })
    .toBeGreaterThan(1)
  expect(logger.entries.filter(({ message }) => /default partition:/u.test(message))).toHaveLength(
    1,
  )
  await runner.stop()
})

test('what is old enough is judged by the server, whatever the clock of the process says', async () => {
  await smallPartitions(database)
  await using app = appOn(database, [recorder('ledger')])
  await app.publish(drafts(250))
  const runner = await app.start()
  await app.waitFor('ledger', (await app.outbox.stats()).lastSequence)
  await runner.stop()
  const now = Date.now
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 2 * day)
  try {
    const { partitions: gone, stopped } = await app.outbox.prune({ olderThan: day })
    expect([gone, stopped?.reason]).toEqual([[], 'age'])
  } finally {
    vi.restoreAllMocks()
  }
})
