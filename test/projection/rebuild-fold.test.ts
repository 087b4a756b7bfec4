import fc from 'fast-check'
import { defineEvent, defineProjection, type App, type EventSequence } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Gate } from '../support/gate.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 240_000 })

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }

const moved = defineEvent('test.moved', {
  payload: z.object({ account: z.string(), cents: z.number().int() }),
})
type Move = { readonly account: string; readonly cents: number }

interface Shape {
  readonly version: number
  readonly batchSize: number
  readonly partitions: number
}

const table =
  'create table lines (account text primary key, cents bigint not null, trail text not null)'

/** One projection of each kind, which keep the same: the sum of each account, and the order in which it came about. */
function projections({ version, batchSize, partitions }: Shape, inTheWay = 'select') {
  const total = defineProjection('total', {
    version,
    batchSize,
    initial: (): Record<string, string> => ({}),
  }).on(moved, (state, { payload: { account, cents } }) => ({
    ...state,
    [account]: `${state[account] ?? ''}${cents},`,
  }))
  const accounts = defineProjection('accounts', {
    version,
    batchSize,
    partitions,
    keyed: true,
    initial: () => '',
  }).on(moved, (trail, event) => `${trail}${event.payload.cents},`, {
    key: (event) => event.payload.account,
  })
  const lines = defineProjection('lines', { version, batchSize, tables: ['lines'] }).on(
    moved,
    async ({ payload: { account, cents } }, { tx, replaying }) => {
      if (replaying) await tx.query(inTheWay)
      await tx.query(
        `insert into lines as l values ($1, $2::bigint, $2::bigint::text || ',')
         on conflict (account) do update set cents = l.cents + $2::bigint, trail = l.trail || $2::bigint::text || ','`,
        [account, cents],
      )
    },
  )
  return { moved, total, accounts, lines }
}

const names = ['total', 'accounts', 'lines'] as const

/** The pure fold: what each account went through. */
function fold(moves: readonly Move[]): Record<string, string> {
  const trails: Record<string, string> = {}
  for (const { account, cents } of moves) trails[account] = `${trails[account] ?? ''}${cents},`
  return trails
}

async function readAll(
  app: App,
  { total, accounts }: ReturnType<typeof projections>,
): Promise<Record<(typeof names)[number], unknown>> {
  const { rows } = await database.query<{ account: string; trail: string }>(
    'select account, trail from lines',
  )
  const keyed = await app.list(accounts)
  return {
    total: await app.read(total),
    accounts: Object.fromEntries(keyed.map(({ key, state }) => [key, state])),
    lines: Object.fromEntries(rows.map(({ account, trail }) => [account, trail])),
  }
}

async function publish(app: App, moves: readonly Move[]): Promise<EventSequence> {
  const published = await app.publish(moves.map((move) => moved(move)))
  return published.at(-1)?.sequence as EventSequence
}

async function rebuilt(app: App): Promise<void> {
  await expect
    .poll(async () => Promise.all(names.map((name) => app.rebuilds.progress(name))), {
      timeout: 60_000,
      interval: 30,
    })
    .toEqual([undefined, undefined, undefined])
}

/** What a killed process and a lost network have in common: every connection is gone in the middle of whatever it did. */
async function cutAll(): Promise<void> {
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name like 'tidemark' || '%'
       and application_name not like 'tidemark test%' and application_name <> 'tidemark leak check'`,
  )
}

const moves = fc.array(
  fc.record({
    account: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    cents: fc.integer({ min: -9, max: 9 }),
  }),
  { minLength: 20, maxLength: 80, size: 'max' },
)
const shapes = (version: number): fc.Arbitrary<Shape> =>
  fc.record({
    version: fc.constant(version),
    batchSize: fc.constantFrom(1, 3, 500),
    partitions: fc.integer({ min: 1, max: 3 }),
  })

test('for any events, batches, partitions and cut connections: what is rebuilt equals the pure fold, and so does what is rebuilt twice', async () => {
  await database.query(table)
  await fc.assert(
    fc.asyncProperty(moves, moves, shapes(1), shapes(2), async (early, late, before, after) => {
      await database.query('truncate tidemark.events, tidemark.listeners, lines cascade')
      const first = projections(before)
      const second = projections(after)
      await using old = appOn(database, [first])
      await old.start(runner)
      const middle = await publish(old, early)
      for (const name of names) await old.waitFor(name, middle)
      expect(await readAll(old, first)).toEqual(equal(fold(early)))

      // The new version starts while the old one runs and events go on; somewhere in between all is cut.
      await using app = appOn(database, [second])
      await app.start(runner)
      await cutAll()
      const last = await publish(old, late).catch(() => publish(old, late))
      await cutAll()
      await rebuilt(app)
      for (const name of names) await app.waitFor(name, last, { timeout: '30s' })
      const expected = equal(fold(await stored()))
      expect(await readAll(app, second)).toEqual(expected)
      for (const name of names) await app.rebuild({ name })
      await rebuilt(app)
      expect(await readAll(app, second)).toEqual(expected)
    }),
    { numRuns: 5, endOnFailure: true },
  )
})

function equal(trails: Record<string, string>): Record<(typeof names)[number], unknown> {
  return { total: trails, accounts: trails, lines: trails }
}

/** What was published in the end: a publisher whose connection was cut does not know, and publishes again. */
async function stored(): Promise<Move[]> {
  const { rows } = await database.query<{ payload: Move }>(
    'select payload from tidemark.events order by sequence',
  )
  return rows.map(({ payload }) => payload)
}

const some = Array.from({ length: 60 }, (_, n) => ({ account: 'abc'.charAt(n % 3), cents: n }))

test('a runner that dies in the middle of a rebuild leaves the live projection as it was; the next one goes on, to the same', async () => {
  await database.query(table)
  await using gate = await Gate.close(database)
  const first = projections({ version: 1, batchSize: 5, partitions: 2 })
  const second = projections(
    { version: 2, batchSize: 5, partitions: 2 },
    // It stops for a look at its 31st event, in the middle of a transaction.
    `select case when (select count(*) from lines where cents >= 0) > 0 and
       (select sum(length(trail)) from lines) > 60 then pg_advisory_xact_lock_shared(${gate.key}) end`,
  )
  await using old = appOn(database, [first])
  await old.start(runner)
  const last = await publish(old, some)
  for (const name of names) await old.waitFor(name, last)
  const live = await readAll(old, first)

  {
    await using app = appOn(database, [second])
    await app.start(runner)
    await gate.reached()
    await cutAll()
    // The pool may not have heard yet that a connection of its own was cut too.
    const read = await readAll(old, first).catch(() => readAll(old, first))
    expect(read).toEqual(live)
  }
  expect(await old.rebuilds.progress('lines')).toMatchObject({ version: 2, state: 'running' })
  await gate.open()
  await using app = appOn(database, [second])
  await app.start(runner)
  await rebuilt(app)
  expect(await readAll(app, second)).toEqual(equal(fold(some)))
  expect((await app.listeners.get('lines')).version).toBe(2)
})
