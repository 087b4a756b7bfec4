import { defineEvent, defineProjection, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../../support/fresh-database.ts'
import { LogBook } from '../../support/log-book.ts'
import { appOn } from '../../support/test-app.ts'

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }

const told = defineEvent('test.told', { payload: z.object({ id: z.number().int() }) })

function writes(name: string, tables: readonly string[], version = 1) {
  return defineProjection(name, { version, tables }).on(told, async ({ payload }, { tx }) => {
    for (const table of tables) {
      const quoted = table.split('.').map((part) => `"${part}"`)
      await tx.query(`insert into ${quoted.join('.')} (id, version) values ($1, $2)`, [
        payload.id,
        version,
      ])
    }
  })
}

const numbers = (table: string): string =>
  `create table "${table}" (id integer primary key, version integer)`

async function tell(app: ReturnType<typeof appOn>, from: number, count: number) {
  const published = await app.publish(
    Array.from({ length: count }, (_, n) => told({ id: from + n })),
  )
  return published.at(-1)?.sequence as EventSequence
}

async function rebuilt(app: ReturnType<typeof appOn>, name: string): Promise<void> {
  await expect.poll(() => app.rebuilds.progress(name), { timeout: 50_000 }).toBeUndefined()
}

test('two projections of one application do not own one table', () => {
  expect(() => appOn(database, [writes('one', ['numbers']), writes('two', ['numbers'])])).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_TABLE_OWNED' }) as Error,
  )
})

test('nor by another spelling, in another application, or in another install of the database', async () => {
  await database.query(numbers('numbers'))
  await using spelled = appOn(database, [
    writes('one', ['numbers']),
    writes('two', ['public.numbers']),
  ])
  await expect(spelled.start(runner)).rejects.toMatchObject({ code: 'TIDEMARK_TABLE_OWNED' })
  await using one = appOn(database, [writes('one', ['numbers'])])
  const running = await one.start(runner)
  await running.stop()
  await using two = appOn(database, [writes('two', ['public.numbers'])])
  await expect(two.start(runner)).rejects.toMatchObject({
    code: 'TIDEMARK_TABLE_OWNED',
    message: expect.stringContaining('one') as string,
  })
  const keyed = defineProjection('keyed', {
    version: 1,
    keyed: true,
    initial: () => ({ version: 1 }),
    table: {
      name: 'numbers',
      key: 'id',
      columns: { version: (state: { version: number }) => state.version },
    },
  }).on(told, (state) => state, { key: ({ payload }) => String(payload.id) })
  await using third = appOn(database, [keyed])
  await expect(third.start(runner)).rejects.toMatchObject({ code: 'TIDEMARK_TABLE_OWNED' })
  // A table that changes hands within one application has the owner that is defined.
  await database.query(numbers('letters'))
  await using moved = appOn(database, [writes('a', ['numbers']), writes('one', ['letters'], 2)])
  await (await moved.start(runner)).stop()
})

test('nor a part of one, what it is a part of, what inherits from it, or a table of Tidemark’s', async () => {
  await database.query(`
    create table numbers (id integer, version integer) partition by range (id);
    create table low partition of numbers for values from (0) to (10) partition by range (id);
    create table lowest partition of low for values from (0) to (5);
    create table parent (id integer primary key, version integer);
    create table heir (own text) inherits (parent)`)
  const owned = { code: 'TIDEMARK_TABLE_OWNED' }
  for (const [mine, theirs] of [
    ['numbers', 'lowest'],
    ['lowest', 'numbers'],
    ['parent', 'heir'],
  ] as const) {
    await using both = appOn(database, [writes('one', [mine]), writes('two', [theirs])])
    await expect(both.start(runner)).rejects.toMatchObject(owned)
  }
  await using one = appOn(database, [writes('one', ['low'])])
  await (await one.start(runner)).stop()
  for (const table of [
    'numbers',
    'lowest',
    `${database.schema}.events`,
    `${database.schema}.states`,
  ]) {
    await using two = appOn(database, [writes('two', [table])])
    await expect(two.start(runner)).rejects.toMatchObject(owned)
  }
})

test('nor when publishers alone run them', async () => {
  await database.query(numbers('numbers'))
  const inline = (name: string) =>
    defineProjection(name, { version: 1, mode: 'inline', tables: ['numbers'] }).on(
      told,
      async ({ payload }, { tx }) => tx.query('insert into numbers values ($1, 1)', [payload.id]),
    )
  await using one = appOn(database, [inline('one')])
  await one.publish(told({ id: 1 }))
  await using two = appOn(database, [inline('two')])
  await expect(two.publish(told({ id: 2 }))).rejects.toMatchObject({ code: 'TIDEMARK_TABLE_OWNED' })
  await using three = appOn(database, [writes('three', ['numbers'])])
  await expect(three.start(runner)).rejects.toMatchObject({ code: 'TIDEMARK_TABLE_OWNED' })
  await one.publish(told({ id: 3 }))
  expect((await database.query('select id from numbers order by id')).rows).toEqual([
    { id: 1 },
    { id: 3 },
  ])
})

test('a table that does not exist is missed at the start', async () => {
  await using app = appOn(database, [writes('one', ['nowhere'])])
  await expect(app.start(runner)).rejects.toMatchObject({
    code: 'TIDEMARK_TABLE_MISMATCH',
    message: expect.stringContaining('nowhere') as string,
  })
})

test('a projection that cannot be copied does not keep others from starting, says why, and goes on when it can', async () => {
  await database.query(numbers('numbers'))
  await database.query(numbers('others'))
  await using old = appOn(database, [writes('one', ['numbers']), writes('other', ['others'])])
  const running = await old.start(runner)
  const first = await tell(old, 1, 5)
  for (const name of ['one', 'other']) await old.waitFor(name, first)
  await running.stop()
  await database.query(
    'alter table numbers rename to hidden; create view numbers as select * from hidden',
  )
  const log = new LogBook()
  await using app = appOn(
    database,
    [writes('one', ['numbers'], 2), writes('other', ['others'], 2)],
    {
      logger: log,
    },
  )
  await app.start(runner)
  await rebuilt(app, 'other')
  expect(await app.rebuilds.progress('one')).toMatchObject({
    state: 'halted',
    error: {
      code: 'TIDEMARK_CANNOT_REBUILD',
      message: expect.stringContaining('numbers') as string,
    },
  })
  expect(log.entries.filter(({ message }) => message.includes('cannot be rebuilt'))).not.toEqual([])
  await database.query('drop view numbers; alter table hidden rename to numbers')
  await rebuilt(app, 'one')
  const { rows } = await database.query('select count(*)::int, min(version) from numbers')
  expect(rows).toEqual([{ count: 5, min: 2 }])
})

test('tables that refer to each other, partitioned tables and policies between them are rebuilt', async () => {
  await database.query(`
    create table "All Orders" (id integer, version integer, primary key (id)) partition by range (id);
    create table orders_low partition of "All Orders" for values from (0) to (10);
    create table orders_high partition of "All Orders" default;
    create table "lines" (id integer primary key references "All Orders" on delete cascade, version integer);
    create table "notes of lines" (id integer primary key references lines, version integer);
    alter table "All Orders" add foreign key (id) references "notes of lines" deferrable initially deferred;
    alter table lines enable row level security;
    create policy seen on lines using (exists (select from "All Orders" o where o.id = lines.id))`)
  const tables = ['All Orders', 'lines', 'notes of lines']
  await using old = appOn(database, [writes('orders', tables)])
  const running = await old.start(runner)
  await old.waitFor('orders', await tell(old, 1, 20))
  await running.stop()
  await using app = appOn(database, [writes('orders', tables, 2)])
  await app.start(runner)
  await rebuilt(app, 'orders')
  await app.waitFor('orders', await tell(app, 21, 5))
  for (const table of [...tables, 'orders_low']) {
    const { rows } = await database.query(`select count(*)::int, min(version) from "${table}"`)
    expect(rows).toEqual([{ count: table === 'orders_low' ? 9 : 25, min: 2 }])
  }
  await app.reset({ name: 'orders' })
  await app.waitFor('orders', await tell(app, 26, 1))
  const { rows } = await database.query('select count(*)::int from "notes of lines"')
  expect(rows).toEqual([{ count: 26 }])
})

test("rows of the application that hang on a projection's are not deleted with them", async () => {
  await database.query(numbers('numbers'))
  await database.query(
    'create table liked (id integer references numbers on delete cascade, who text)',
  )
  await using old = appOn(database, [writes('one', ['numbers'])])
  const running = await old.start(runner)
  await old.waitFor('one', await tell(old, 1, 5))
  await database.query(`insert into liked values (3, 'me')`)
  const reset = old.reset({ name: 'one' })
  await expect(reset).rejects.toMatchObject({ code: 'TIDEMARK_CANNOT_RESET' })
  // Nor does a reset hold up those who write that table, by waiting for one of them.
  const writer = await database.connect()
  await writer.query(`begin; insert into liked values (2, 'you')`)
  await expect(old.reset({ name: 'one' })).rejects.toMatchObject({
    code: 'TIDEMARK_CANNOT_RESET',
    message: expect.stringContaining('liked') as string,
  })
  await writer.query('rollback')
  await writer.end()
  await running.stop()
  // Version 2 leaves the third out: its row would go, and take the application's with it.
  const fewer = defineProjection('one', { version: 2, tables: ['numbers'] }).on(
    told,
    async ({ payload }, { tx }) => {
      if (payload.id !== 3) await tx.query('insert into numbers values ($1, 2)', [payload.id])
    },
  )
  await using app = appOn(database, [fewer])
  await app.start(runner)
  await expect
    .poll(() => app.rebuilds.progress('one'), { timeout: 30_000 })
    .toMatchObject({
      state: 'halted',
      error: { message: expect.stringContaining('1 rows of liked') as string },
    })
  expect((await database.query('select who from liked')).rows).toEqual([{ who: 'me' }])
  await database.query('delete from liked')
  await app.rebuilds.resume('one')
  await rebuilt(app, 'one')
  expect((await database.query('select id, version from numbers order by id')).rows).toEqual(
    [1, 2, 4, 5].map((id) => ({ id, version: 2 })),
  )
})

test('a trigger of a partition alone, or one that is off there, would be missing from a copy: the rebuild says so', async () => {
  await database.query(`
    create table parted (id integer primary key, version integer) partition by range (id);
    create table low partition of parted for values from (0) to (10);
    create table high partition of parted default;
    create function add_ten() returns trigger language plpgsql as
      $$ begin new.version := new.version + 10; return new; end $$;
    create trigger everywhere before insert on parted for each row execute function add_ten();
    create trigger low_only before insert on low for each row execute function add_ten();
    alter table high disable trigger everywhere`)
  const rows = async (): Promise<unknown> =>
    (await database.query('select id, version from parted')).rows
  {
    await using app = appOn(database, [writes('one', ['parted'])])
    await app.start(runner)
    await app.waitFor('one', await tell(app, 1, 1))
  }
  expect(await rows()).toEqual([{ id: 1, version: 21 }])
  await using app = appOn(database, [writes('one', ['parted'], 2)])
  await app.start(runner)
  const error = async (): Promise<string | undefined> =>
    (await app.rebuilds.progress('one'))?.error?.message
  await expect
    .poll(error, { timeout: 50_000 })
    .toMatch(/trigger everywhere of partition high of parted, trigger low_only of partition low/u)
  expect(await rows()).toEqual([{ id: 1, version: 21 }])

  await database.query('drop trigger low_only on low; alter table high enable trigger everywhere')
  await rebuilt(app, 'one')
  expect(await rows()).toEqual([{ id: 1, version: 12 }])
})
