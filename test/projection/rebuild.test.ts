import { defineEvent, defineProjection, type App, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const deposited = defineEvent('test.deposited', {
  payload: z.object({ account: z.string(), amount: z.number().int() }),
})

/** The projections of one deploy: `version` says which code made a row or a state. */
function deploy(version: number) {
  const total = defineProjection('total', {
    version,
    initial: () => ({ events: 0, version }),
  }).on(deposited, (state) => ({ events: state.events + 1, version }))
  const balances = defineProjection('balances', {
    version,
    keyed: true,
    partitions: 2,
    initial: () => ({ cents: 0, version }),
  }).on(deposited, (state, event) => ({ cents: state.cents + event.payload.amount, version }), {
    key: (event) => event.payload.account,
  })
  const accounts = defineProjection('accounts', { version, tables: ['accounts'] }).batch(
    [deposited],
    async (events, { tx }) => {
      await tx.query(
        `insert into accounts as a (name, cents, version)
         select u.name, sum(u.amount), $3 from unnest($1::text[], $2::integer[]) as u (name, amount) group by 1
         on conflict (name) do update set cents = a.cents + excluded.cents, version = $3`,
        [events.map((e) => e.payload.account), events.map((e) => e.payload.amount), version],
      )
    },
  )
  return { deposited, total, balances, accounts }
}

async function makeTable(): Promise<void> {
  await database.query(`
    create table accounts (
      id serial,
      name text primary key,
      cents bigint not null check (cents > 0),
      version integer not null
    ) with (fillfactor = 80);
    create index accounts_by_version on accounts (version);
    create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
    create trigger touched before update on accounts for each row execute function touch();
    alter table accounts enable row level security;
    create policy everybody on accounts for select to public using (true);
    grant select on accounts to pg_monitor`)
}

async function deposit(app: App, count: number): Promise<EventSequence> {
  const drafts = Array.from({ length: count }, (_, index) =>
    deposited({ account: `a-${index % 7}`, amount: 1 }),
  )
  const published = await app.publish(drafts)
  return published.at(-1)?.sequence as EventSequence
}

async function rebuilt(app: App, ...names: string[]): Promise<void> {
  await expect
    .poll(async () => Promise.all(names.map((name) => app.rebuilds.progress(name))), {
      timeout: 50_000,
    })
    .toEqual(names.map(() => undefined))
}

test('a raised version is rebuilt beside the live one: readers never see it empty, partial or mixed', async () => {
  await makeTable()
  const before = deploy(1)
  const after = deploy(2)
  await using old = appOn(database, [before])
  await old.start({ handleSignals: false })
  const first = await deposit(old, 5_000)
  for (const name of ['total', 'balances', 'accounts']) await old.waitFor(name, first)

  await using app = appOn(database, [after])
  let reading = true
  const seen = { reads: 0, backwards: 0, mixed: 0 }
  const reader = (async () => {
    let most = 0
    while (reading) {
      const { rows } = await database.query<{ cents: number; versions: number }>(
        'select coalesce(sum(cents), 0)::int as cents, count(distinct version)::int as versions from accounts',
      )
      const { cents, versions } = rows[0] as { cents: number; versions: number }
      if (cents < most) seen.backwards += 1
      if (versions !== 1) seen.mixed += 1
      most = cents
      seen.reads += 1
    }
  })()
  let last = first
  let published = 5_000
  const publisher = (async () => {
    while (reading) {
      last = await deposit(old, 10)
      published += 10
    }
  })()
  await app.start({ handleSignals: false })
  await rebuilt(app, 'total', 'balances', 'accounts')
  reading = false
  await Promise.all([reader, publisher])
  for (const name of ['total', 'balances', 'accounts']) await app.waitFor(name, last)

  expect(seen).toMatchObject({ backwards: 0, mixed: 0 })
  expect(seen.reads).toBeGreaterThan(0)
  expect(await app.read(after.total)).toEqual({ events: published, version: 2 })
  const balances = await app.list(after.balances)
  expect(balances.reduce((sum, { state }) => sum + state.cents, 0)).toBe(published)
  const { rows } = await database.query(
    'select sum(cents)::int as cents, min(version) as version from accounts',
  )
  expect(rows).toEqual([{ cents: published, version: 2 }])
})

test('the rebuilt table has what the live one had: indexes, trigger, policy, grants, options and its sequence', async () => {
  await makeTable()
  const { accounts } = deploy(1)
  await using app = appOn(database, [deposited, accounts])
  await app.start({ handleSignals: false })
  await app.waitFor(accounts, await deposit(app, 20))
  const shape = `
    select
      (select array_agg(indexname::text order by indexname) from pg_indexes where tablename = 'accounts') as indexes,
      (select array_agg(pg_get_triggerdef(oid) order by tgname) from pg_trigger where tgrelid = 'accounts'::regclass and not tgisinternal) as triggers,
      (select array_agg(policyname::text order by policyname) from pg_policies where tablename = 'accounts') as policies,
      (select array_agg(pg_get_constraintdef(oid) order by conname) from pg_constraint where conrelid = 'accounts'::regclass) as constraints,
      c.relacl::text, c.reloptions, c.relrowsecurity, c.relnamespace::regnamespace::text as schema,
      pg_get_serial_sequence('accounts', 'id') as sequence
    from pg_class c where c.oid = 'accounts'::regclass`
  const live = await database.query(shape)
  const { rows: oids } = await database.query(`select 'accounts'::regclass::oid as oid`)

  await app.rebuild(accounts)
  await rebuilt(app, 'accounts')

  expect((await database.query(`select 'accounts'::regclass::oid as oid`)).rows).not.toEqual(oids)
  expect((await database.query(shape)).rows).toEqual(live.rows)
})

test('views, foreign keys of other tables and publications survive a rebuild, and the table stays where it is', async () => {
  await makeTable()
  const { accounts } = deploy(1)
  await using app = appOn(database, [deposited, accounts])
  const running = await app.start({ handleSignals: false })
  await app.waitFor(accounts, await deposit(app, 20))
  await running.stop()
  await database.query(`
    create view rich as select name from accounts where cents > 1;
    create materialized view richest as select max(cents) from accounts;
    create table cards (account text constraint cards_account references accounts (name));
    insert into cards select name from accounts;
    create publication outside for table accounts`)
  const oid = `select 'accounts'::regclass::oid as oid`
  const { rows: before } = await database.query(oid)
  await using newer = appOn(database, [deposited, deploy(2).accounts])
  await newer.start({ handleSignals: false, acquireInterval: 50 })
  await rebuilt(newer, 'accounts')
  await newer.waitFor(accounts, await deposit(newer, 20))
  const { rows } = await database.query(
    'select sum(cents)::int as cents, min(version) as version from accounts',
  )
  expect(rows).toEqual([{ cents: 40, version: 2 }])
  expect((await database.query(oid)).rows).toEqual(before)
  await database.query('select from rich, richest, cards join accounts on name = account')
})

test('a rebuild is paused, resumed and cancelled; twice gives the same', async () => {
  await makeTable()
  const { accounts, total } = deploy(1)
  await using app = appOn(database, [deposited, accounts, total])
  const last = await deposit(app, 3_000)
  {
    await using runner = await app.start({ handleSignals: false })
    await app.waitFor(accounts, last)
    await app.waitFor(total, last)
    expect(runner.partitions).toContain('accounts#0')
  }
  await app.rebuild(accounts)
  await app.rebuilds.pause('accounts')
  expect(await app.rebuilds.progress('accounts')).toMatchObject({ state: 'paused', cursor: 0n })
  await app.rebuilds.cancel('accounts')
  expect(await app.rebuilds.progress('accounts')).toBeUndefined()
  await expect(app.rebuilds.resume('accounts')).rejects.toMatchObject({
    code: 'TIDEMARK_NO_REBUILD',
  })

  await app.start({ handleSignals: false })
  for (let time = 0; time < 2; time++) {
    await app.rebuild(accounts)
    await app.rebuild(total)
    await rebuilt(app, 'accounts', 'total')
    const { rows } = await database.query('select sum(cents)::int as cents from accounts')
    expect(rows).toEqual([{ cents: 3_000 }])
    expect(await app.read(total)).toEqual({ events: 3_000, version: 1 })
  }
})
