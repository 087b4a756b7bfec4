import { defineEvent, defineProjection, type ProjectionContext } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../../support/fresh-database.ts'
import { appOn } from '../../support/test-app.ts'

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }

const told = defineEvent('test.told', { payload: z.object({ id: z.number().int() }) })

type Write = (tx: ProjectionContext['tx'], id: number) => Promise<unknown>

const values = 'values ($1, 2) on conflict (id) do update set version = 2'
const insert = `insert into numbers ${values}`

// Each of them means the live table although the copy is in front of it.
const ways: Record<string, Write> = {
  'a name with its schema': (tx, id) => tx.query(`insert into public.numbers ${values}`, [id]),
  'another search path, put back': async (tx, id) => {
    const { rows } = await tx.query(`select current_setting('search_path') as path`)
    await tx.query('set local search_path to public')
    await tx.query(insert, [id])
    await tx.query(`select set_config('search_path', $1, true)`, [rows[0]?.['path']])
  },
  'a function with a path of its own': (tx, id) => tx.query('select write_number($1)', [id]),
  'a trigger with a path of its own': (tx, id) =>
    tx.query('insert into source values ($1) on conflict do nothing', [id]),
  'a partition by its schema': (tx, id) => tx.query('delete from public.low where id = $1', [id]),
  'a truncation': (tx) => tx.query('truncate public.numbers'),
}

test('a handler that reaches the live table in a rebuild changes nothing, and the rebuild says so', async () => {
  await database.query(`
    create table numbers (id integer primary key, version integer) partition by range (id);
    create table low partition of numbers for values from (0) to (1000);
    create table source (id integer primary key);
    create function write_number(id integer) returns void language sql set search_path = public
      as '${insert}';
    create function pass_on() returns trigger language plpgsql set search_path = public
      as 'begin insert into numbers values (new.id, 2) on conflict do nothing; return new; end';
    create trigger pass_on after insert on source for each row execute function pass_on()`)
  const projection = (version: number, write: Write) =>
    defineProjection('one', { version, tables: ['numbers'], onFailure: 'skip' }).on(
      told,
      async ({ payload }, { tx }) => write(tx, payload.id),
    )
  const first: Write = (tx, id) => tx.query('insert into numbers values ($1, 1)', [id])
  await using old = appOn(database, [projection(1, first)])
  const running = await old.start(runner)
  const { sequence } = await old.publish(told({ id: 1 }))
  await old.waitFor('one', sequence)
  await running.stop()
  let version = 1
  for (const [name, write] of Object.entries(ways)) {
    version += 1
    await using app = appOn(database, [projection(version, write)])
    await app.start(runner)
    await expect
      .poll(() => app.rebuilds.progress('one'), { timeout: 20_000, message: name })
      .toMatchObject({
        state: 'halted',
        error: {
          code: 'TIDEMARK_CANNOT_REBUILD',
          message: expect.stringMatching(/its handler wrote (numbers|low)/u) as string,
        },
      })
    const { rows } = await database.query('select id, version from numbers')
    expect(rows).toEqual([{ id: 1, version: 1 }])
    await app.rebuilds.cancel('one')
  }
  expect(await old.deadLetters.list({})).toEqual([])
  // What reads the live table, or writes others, is let go on.
  const reading: Write = async (tx, id) => {
    await tx.query('select from public.numbers for share')
    await tx.query('create temporary table scratch (id integer) on commit drop')
    await tx.query(insert, [id])
  }
  await using app = appOn(database, [projection(version + 1, reading)])
  await app.start(runner)
  await expect.poll(() => app.rebuilds.progress('one'), { timeout: 20_000 }).toBeUndefined()
  const { rows } = await database.query('select id, version from numbers')
  expect(rows).toEqual([{ id: 1, version: 2 }])
})
