import { defineListener, defineProjection, type App, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { shadowOf } from '../../packages/core/src/projection/shadow/shadow-schema.ts'
import { committedEvents, effectsOf, noted, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const hung = { timeout: 60_000, interval: 30 }
const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }

async function publish(app: App, count: number): Promise<EventSequence> {
  const published = await app.publish(
    Array.from({ length: count }, (_, n) => noted({ note: String(n) })),
  )
  return published.at(-1)?.sequence as EventSequence
}

/** Keyed and table projections of one deploy; `broken` is a bug in it. */
function deploy(version: number, broken: () => boolean = () => false, batchSize = 2) {
  const stumble = (note: string): void => {
    if (broken() && note === '7') throw new Error('a bug in the new version')
  }
  const keyed = defineProjection('keyed', {
    version,
    keyed: true,
    retry: { attempts: 1 },
    batchSize,
    initial: () => ({ version: 0 }),
  }).on(
    noted,
    (_, event) => {
      stumble(event.payload.note)
      return { version }
    },
    { key: (event) => event.payload.note },
  )
  const notes = defineProjection('notes', {
    version,
    tables: ['notes'],
    retry: { attempts: 1 },
    batchSize,
  }).on(noted, async (event, { tx }) => {
    stumble(event.payload.note)
    await tx.query('insert into notes values ($1, $2)', [event.sequence, version])
  })
  return { noted, keyed, notes }
}

const names = ['keyed', 'notes'] as const

async function versions(app: App, { keyed }: ReturnType<typeof deploy>): Promise<unknown> {
  const { rows } = await database.query(
    'select version, count(*)::int as count from notes group by version order by version',
  )
  const states = await app.list(keyed, { limit: 1000 })
  return {
    rows,
    keys: states.length,
    states: [...new Set(states.map(({ state }) => state.version))],
  }
}

async function progressIs(app: App, state: 'halted' | undefined): Promise<void> {
  await expect
    .poll(
      async () =>
        (await Promise.all(names.map((name) => app.rebuilds.progress(name)))).map(
          (progress) => progress?.state,
        ),
      { timeout: 30_000, interval: 30 },
    )
    .toEqual([state, state])
}

test('a rebuild that halts leaves the live generation alone and going; with the bug mended it is resumed and switched', async () => {
  await database.query('create table notes (sequence bigint primary key, version integer not null)')
  await using old = appOn(database, [deploy(1)])
  await old.start(runner)
  const first = await publish(old, 20)
  for (const name of names) await old.waitFor(name, first)
  let broken = true
  const next = deploy(2, () => broken)
  await using app = appOn(database, [next])
  await app.start(runner)
  await progressIs(app, 'halted')
  expect(await app.rebuilds.progress('notes')).toMatchObject({
    version: 2,
    error: { cause: { message: 'a bug in the new version' } },
  })
  // The live one goes on: run by the old code.
  const second = await publish(old, 5)
  for (const name of names) {
    await old.waitFor(name, second)
    expect(await old.listeners.get(name)).toMatchObject({ version: 1 })
    expect((await old.listeners.get(name)).status).not.toBe('halted')
  }
  expect(await versions(app, next)).toMatchObject({ rows: [{ version: 1, count: 25 }] })

  broken = false
  for (const name of names) await app.rebuilds.resume(name)
  await progressIs(app, undefined)
  expect(await versions(app, next)).toEqual({
    rows: [{ version: 2, count: 25 }],
    keys: 20,
    states: [2],
  })
})

test('a rebuild says what it has set aside, and what is decided about dead letters reaches it, too', async () => {
  await database.query('create table notes (sequence bigint primary key, version integer)')
  const broken = new Set(['3', '7'])
  const parking = (version: number, onFailure: 'park' | 'skip') =>
    defineProjection('notes', {
      version,
      tables: ['notes'],
      onFailure,
      retry: { attempts: 1 },
      batchSize: 2,
    }).on(noted, async ({ sequence, payload: { note } }, { tx }) => {
      if (broken.has(note)) throw new Error('a bug')
      await tx.query('insert into notes values ($1, $2)', [sequence, version])
    })
  const rows = async (): Promise<unknown> =>
    (await database.query('select count(*)::integer as n, max(version) as v from notes')).rows[0]
  {
    await using app = appOn(database, [parking(1, 'park')])
    await app.start(runner)
    await app.waitFor('notes', await publish(app, 12))
    expect(await rows()).toEqual({ n: 10, v: 1 })
  }
  // While somebody reads the table there is no switch.
  await using reader = await SqlPublisher.open(database)
  await reader.begin()
  await reader.client.query('select from notes')
  const log = new LogBook()
  await using app = appOn(database, [parking(2, 'skip')], { logger: log })
  await app.start(runner)
  const setAside = async (): Promise<unknown> => {
    const progress = await app.rebuilds.progress('notes')
    return [progress?.setAside, progress?.liveSetAside]
  }
  await expect.poll(setAside, hung).toEqual([2, 2])
  const found = async (): Promise<unknown> =>
    (await app.doctor.examine({ checks: ['rebuilds'] })).map(({ code }) => code)
  expect(await found()).toEqual(['rebuild-sets-aside'])

  broken.delete('7')
  expect(await app.deadLetters.retry({ listener: 'notes' })).toBe(2)
  await expect.poll(setAside, hung).toEqual([1, 2])
  await reader.commit()
  await expect.poll(() => app.rebuilds.list(), hung).toEqual([])
  expect(await rows()).toEqual({ n: 11, v: 2 })
  const { level } = await log.wrote(/^notes goes on without the events .* set aside: 1$/u)
  expect(level).toBe('warn')
})

test('a schema that has the name of a rebuild’s copies and is not its own is neither written nor dropped', async () => {
  await database.query('create table notes (sequence bigint primary key, version integer not null)')
  const live = deploy(1)
  await using old = appOn(database, [live])
  await old.start(runner)
  const last = await publish(old, 3)
  for (const name of names) await old.waitFor(name, last)
  const { name, owner } = shadowOf('tidemark', 'notes', 2)
  // Of another projection whose digest is the same, or of nobody.
  await database.query(
    `create schema ${name}; create table ${name}.notes (like notes);
     comment on schema ${name} is 'Tidemark in tidemark: copies of the tables of other, generation 2'`,
  )
  {
    await using app = appOn(database, [deploy(2)])
    await app.start(runner)
    await expect
      .poll(async () => (await app.rebuilds.progress('notes'))?.error?.message, { timeout: 20_000 })
      .toContain(`the schema ${name} is there already`)
    await app.rebuilds.cancel('notes')
  }
  const { rows } = await database.query(`select count(*)::int as count from ${name}.notes`)
  expect(rows).toEqual([{ count: 0 }])
  await database.query(`drop schema ${name} cascade`)
  await using app = appOn(database, [deploy(2)])
  await app.start(runner)
  await expect
    .poll(() => database.query(`select from pg_namespace where nspname like 'tidemark\\_notes%'`), {
      timeout: 20_000,
    })
    .toMatchObject({ rowCount: 0 })
  await progressIs(app, undefined)
  expect(await versions(app, deploy(2))).toMatchObject({ rows: [{ version: 2, count: 3 }] })
  expect(owner).toContain('notes')
})

test('a rebuild that is cancelled leaves nothing behind but the live generation', async () => {
  await database.query('create table notes (sequence bigint primary key, version integer not null)')
  const live = deploy(1)
  await using old = appOn(database, [live])
  await old.start(runner)
  const last = await publish(old, 20)
  for (const name of names) await old.waitFor(name, last)
  {
    await using app = appOn(database, [deploy(2, () => true)])
    await app.start(runner)
    await progressIs(app, 'halted')
    for (const name of names) await app.rebuilds.cancel(name)
    expect(await app.rebuilds.progress('notes')).toBeUndefined()
  }
  const { rows: cursors } = await database.query(
    'select listener, generation from tidemark.cursors order by listener',
  )
  expect(cursors).toEqual(names.map((listener) => ({ listener, generation: 1 })))
  const { rows: schemas } = await database.query(
    `select nspname from pg_namespace where nspname like 'tidemark\\_%'`,
  )
  expect(schemas).toEqual([])
  // The states of keys go with the next maintenance, which a runner begins with.
  await using again = appOn(database, [live])
  await again.start(runner)
  await expect
    .poll(
      async () =>
        (await database.query('select distinct generation from tidemark.projection_states')).rows,
      { timeout: 15_000 },
    )
    .toEqual([{ generation: 1 }])
  expect(await versions(old, live)).toEqual({
    rows: [{ version: 1, count: 20 }],
    keys: 20,
    states: [1],
  })
})

test('while one partition of the new generation is not there yet, nothing is switched', async () => {
  const keyed = (version: number) =>
    defineProjection('keyed', { version, keyed: true, partitions: 2, initial: () => 0 }).on(
      noted,
      () => version,
      { key: (event) => event.payload.note },
    )
  await using old = appOn(database, [keyed(1)])
  await old.start(runner)
  await old.waitFor('keyed', await publish(old, 20))
  // The second partition of the new generation belongs to somebody who does nothing.
  await database.query(`
    create function idle() returns trigger language plpgsql as $$
    begin
      if new.generation = 2 and new.partition = 1 then
        new.owner := gen_random_uuid();
        new.lease_until := clock_timestamp() + interval '1 hour';
      end if;
      return new;
    end $$;
    create trigger idle before insert on tidemark.cursors for each row execute function idle()`)
  await using app = appOn(database, [keyed(2)])
  await app.start(runner)
  // The switch is attempted, and given up.
  const attempts = async (): Promise<number | null> => {
    const { rowCount } = await database.query(
      `select from pg_locks where locktype = 'advisory' and granted
       and (classid::bigint << 32 | objid::bigint) = hashtextextended('tidemark.switch.tidemark.keyed', 0)`,
    )
    return rowCount
  }
  await expect.poll(attempts, { timeout: 15_000, interval: 5 }).toBe(1)
  await expect.poll(attempts, { timeout: 15_000, interval: 5 }).toBe(0)
  expect(await app.rebuilds.progress('keyed')).toMatchObject({ version: 2, cursor: 0n })
  const versionsOf = async (): Promise<unknown> => [
    ...new Set((await app.list(keyed(2))).map(({ state }) => state)),
  ]
  expect(await versionsOf()).toEqual([1])

  await database.query(
    'update tidemark.cursors set lease_until = clock_timestamp() where generation = 2',
  )
  await expect.poll(() => app.rebuilds.progress('keyed'), { timeout: 30_000 }).toBeUndefined()
  expect(await versionsOf()).toEqual([2])
})

test('a rolling deploy: old and new code side by side under load; the old one runs the old generation until the switch, listeners miss nothing', async () => {
  await database.query('create table notes (sequence bigint primary key, version integer not null)')
  const ledger = (by: string) =>
    defineListener('ledger').on(noted, async (event, { tx }) => {
      await recordEffect(tx, 'ledger', event, by)
    })
  const added = defineListener('added').on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'added', event)
  })
  const before = deploy(1, () => false, 500)
  const after = deploy(2, () => false, 500)
  const old = appOn(database, [before, ledger('old')])
  await using fresh = appOn(database, [after, ledger('new'), added])
  await using publisher = appOn(database, [noted])
  await old.start(runner)
  let last = 0n as EventSequence
  let publishing = true
  const load = (async () => {
    while (publishing) {
      last = await publish(publisher, 10)
      // No faster than the live generation: a publisher without bounds would outrun both.
      await publisher.waitFor('notes', last, { timeout: '30s' })
    }
  })()
  const mixed: unknown[] = []
  try {
    await expect
      .poll(async () => (await old.listeners.get('notes')).cursor, { timeout: 20_000 })
      .toBeGreaterThan(50n)
    await fresh.start(runner)
    const readers = (async () => {
      while (publishing) {
        const { rows } = await database.query(
          'select count(*)::int as rows, count(distinct version)::int as versions from notes',
        )
        if (rows[0]?.['rows'] === 0 || rows[0]?.['versions'] !== 1) mixed.push(rows[0])
      }
    })()
    await progressIs(fresh, undefined)
    // An old process that starts again now, as a rollback would, leaves the new generation to the new code.
    await old.close()
    await using rolledBack = appOn(database, [before, ledger('old')])
    await rolledBack.start(runner)
    await expect
      .poll(() => last > 0n && rolledBack.listeners.get('notes'), { timeout: 20_000 })
      .toMatchObject({ version: 2 })
    publishing = false
    await Promise.all([load, readers])
    for (const name of ['keyed', 'notes', 'ledger', 'added']) {
      await publisher.waitFor(name, last, { timeout: '30s' })
    }
  } finally {
    publishing = false
    await load.catch(() => {})
    await old.close()
  }
  const committed = await committedEvents(database)
  expect(mixed).toEqual([])
  expect(await effectsOf(database, 'ledger')).toEqual(committed)
  expect(await effectsOf(database, 'added')).toEqual(committed)
  const { rows } = await database.query('select sequence from notes where version = 2 order by 1')
  expect(rows.map(({ sequence }) => BigInt(sequence as string))).toEqual(committed)
})
