import { defineProjection, type App, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook, type LogEntry } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }
const table = 'create table notes (sequence bigint primary key, version integer not null)'

function deploy(version: number) {
  const total = defineProjection('total', { version, initial: () => 0 }).on(noted, (n) => n + 1)
  const notes = defineProjection('notes', { version, tables: ['notes'] }).batch(
    [noted],
    async (events, { tx }) => {
      await tx.query('insert into notes select unnest($1::bigint[]), $2', [
        events.map(({ sequence }) => sequence),
        version,
      ])
    },
  )
  return { noted, total, notes }
}

async function publish(app: App, count: number): Promise<EventSequence> {
  const published = await app.publish(
    Array.from({ length: count }, (_, n) => noted({ note: String(n) })),
  )
  return published.at(-1)?.sequence as EventSequence
}

async function rebuilt(app: App, ...names: string[]): Promise<void> {
  await expect
    .poll(async () => Promise.all(names.map((name) => app.rebuilds.progress(name))), {
      timeout: 50_000,
    })
    .toEqual(names.map(() => undefined))
}

/** The attempts that held the live generation in vain. */
function attemptsIn(log: LogBook): readonly LogEntry[] {
  return log.entries.filter(({ message }) => message.startsWith('a switch of '))
}

test('under constant traffic the switch happens, after a few attempts that held the projection for a bounded time', async () => {
  await database.query(table)
  await using old = appOn(database, [deploy(1)])
  await old.start(runner)
  const first = await publish(old, 2_000)
  for (const name of ['total', 'notes']) await old.waitFor(name, first)

  const log = new LogBook()
  await using app = appOn(database, [deploy(2)], { logger: log })
  await using publisher = appOn(database, [noted])
  let publishing = true
  let last = first
  // Never quiet: there is always a publisher under way, and no pause between them.
  const traffic = Promise.all(
    [1, 3, 7].map(async (size) => {
      while (publishing) {
        const sequence = await publish(publisher, size)
        if (sequence > last) last = sequence
      }
    }),
  )
  try {
    await app.start(runner)
    await rebuilt(app, 'total', 'notes')
  } finally {
    publishing = false
    await traffic
  }
  for (const name of ['total', 'notes']) await app.waitFor(name, last, { timeout: '30s' })
  const attempts = attemptsIn(log)
  expect(attempts.length).toBeLessThanOrEqual(20)
  const switches = log.entries.filter(({ message }) => message.includes('the switch held it'))
  expect(switches).toHaveLength(2)
  for (const { fields } of [...attempts, ...switches]) {
    expect(fields['held']).toBeLessThan(5_000)
  }
  const { rows } = await database.query(
    `select count(*) = (select count(*) from tidemark.events) as complete, min(version) as version from notes`,
  )
  expect(rows).toEqual([{ complete: true, version: 2 }])
})

test('a long reader of the tables makes the switch try again, later each time, while the live projection goes on', async () => {
  await database.query(table)
  await using old = appOn(database, [deploy(1)])
  await old.start(runner)
  await old.waitFor('notes', await publish(old, 20))
  const reader = await database.connect()
  try {
    await reader.query('begin; select from notes')
    const log = new LogBook()
    await using app = appOn(database, [deploy(2).notes], { logger: log })
    await app.start(runner)
    await expect.poll(() => attemptsIn(log).length, { timeout: 30_000 }).toBeGreaterThanOrEqual(3)
    expect(new Set(attemptsIn(log).map(({ fields }) => fields['outcome']))).toEqual(
      new Set(['locked']),
    )
    // Between two attempts the live one moves, and readers read.
    await old.waitFor('notes', await publish(old, 5), { timeout: '30s' })
    const { rows } = await database.query(
      'select count(*)::int, min(version) as version from notes',
    )
    expect(rows).toEqual([{ count: 25, version: 1 }])
    await reader.query('commit')
    await rebuilt(app, 'notes')
    const { rows: after } = await database.query(
      'select count(*)::int, min(version) as version from notes',
    )
    expect(after).toEqual([{ count: 25, version: 2 }])
  } finally {
    await reader.end()
  }
})

test("a reader's prepared statements go on across the switch", async () => {
  await database.query(table)
  await database.query(`
    create function first_note() returns integer language plpgsql as $$
    declare found integer;
    begin
      select n.version into found from notes n order by sequence limit 1;
      return found;
    end $$`)
  await using app = appOn(database, [deploy(1)])
  await app.start(runner)
  await app.waitFor('notes', await publish(app, 20))
  const client = await database.connect()
  try {
    const statements = [
      { name: 'all', text: 'select * from notes order by sequence' },
      { name: 'one', text: 'select n.* from notes n where sequence = $1', values: [1] },
      { name: 'function', text: 'select first_note()' },
    ]
    const read = async (): Promise<unknown> => {
      const answers = []
      // Six times: from the sixth on the server keeps one plan.
      for (const query of Array.from({ length: 6 }, () => statements).flat()) {
        answers.push((await client.query(query)).rows)
      }
      return answers
    }
    const before = await read()
    const oid = `select 'notes'::regclass::oid as oid`
    const { rows: table1 } = await database.query(oid)
    await app.rebuild({ name: 'notes' })
    await rebuilt(app, 'notes')
    expect((await database.query(oid)).rows).not.toEqual(table1)
    expect(await read()).toEqual(before)
  } finally {
    await client.end()
  }
})

test('a table that was changed during the rebuild is not replaced by a copy without the change', async () => {
  await database.query(table)
  const log = new LogBook()
  await using app = appOn(database, [deploy(1)], { logger: log })
  const running = await app.start(runner)
  await app.waitFor('notes', await publish(app, 20))
  await running.stop()
  await app.rebuild({ name: 'notes' })
  await database.query(`alter table notes add column note text default 'new'`)
  await app.start(runner)
  const { fields } = await log.wrote(/could not be switched/u)
  expect(fields['err']).toMatchObject({
    code: 'TIDEMARK_CANNOT_REBUILD',
    message: expect.stringContaining('notes') as string,
  })
  await app.rebuilds.cancel('notes')
  await app.rebuild({ name: 'notes' })
  await rebuilt(app, 'notes')
  const { rows } = await database.query('select count(*)::int, min(note) as note from notes')
  expect(rows).toEqual([{ count: 20, note: 'new' }])
})

test('a function that answers rows of the table answers those of the new version', async () => {
  await database.query(table)
  await using app = appOn(database, [deploy(1)])
  const running = await app.start(runner)
  await app.waitFor('notes', await publish(app, 20))
  await running.stop()
  await database.query(
    'create function all_notes() returns setof notes language sql as $$ select * from notes $$',
  )
  await using newer = appOn(database, [deploy(2)])
  await newer.start(runner)
  await rebuilt(newer, 'notes')
  const { rows } = await database.query('select count(*)::int, min(version) from all_notes()')
  expect(rows).toEqual([{ count: 20, min: 2 }])
})

test('a rebuild handles no more events a second than it may', async () => {
  const sizes: number[] = []
  const counted = (version: number) =>
    defineProjection('counted', { version, rebuildRate: 200, tables: ['notes'] }).batch(
      [noted],
      (events, { replaying }) => {
        if (replaying) sizes.push(events.length)
      },
    )
  await database.query(table)
  await using old = appOn(database, [counted(1)])
  const running = await old.start(runner)
  await old.waitFor('counted', await publish(old, 800))
  await running.stop()
  await using app = appOn(database, [counted(2)])
  const started = performance.now()
  await app.start(runner)
  await rebuilt(app, 'counted')
  // The last batch is due only after it was handled.
  expect(performance.now() - started).toBeGreaterThan((800 - 20) / 0.2)
  expect(Math.max(...sizes)).toBe(20)
})
