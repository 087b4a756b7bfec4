import { faults } from '@tidemark/testing'
import fc from 'fast-check'
import {
  defineEvent,
  defineProjection,
  type App,
  type EventSequence,
  type KeyedProjection,
} from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 240_000 })

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 20 }

const booked = defineEvent('test.booked', {
  payload: z.object({ account: z.uuid(), cents: z.bigint() }),
})
const closed = defineEvent('test.closed', { payload: z.object({ account: z.uuid() }) })

interface Account {
  readonly cents: bigint
  readonly entries: readonly bigint[]
  readonly since: Date | null
}

const initial = (): Account => ({ cents: 0n, entries: [], since: null })

interface Shape {
  readonly version: number
  readonly batchSize?: number
  readonly partitions?: number
  readonly cacheSize?: number
  /** At which of its events it fails once. */
  readonly failAt?: readonly number[]
}

function accounts({ failAt = [], ...shape }: Shape): KeyedProjection<Account> {
  const toFail = new Set(failAt)
  let reduced = 0
  const stumble = (): void => {
    if (toFail.delete(++reduced)) throw new Error('stumbled')
  }
  const key = { key: (event: { payload: { account: string } }) => event.payload.account }
  return defineProjection('accounts', {
    ...shape,
    keyed: true,
    initial,
    retry: { attempts: 20, backoff: () => 1 },
    table: {
      name: 'date',
      key: 'account',
      columns: {
        cents: (state) => state.cents * BigInt(shape.version),
        entries: (state) => state.entries,
        details: (state) => ({ last: state.entries.at(-1) ?? null, text: `it's "${state.cents}"` }),
        since: (state) => state.since,
        hash: (state) => Buffer.from(String(state.cents)),
        overdrawn: (state) => state.cents < 0n,
      },
    },
  })
    .on(
      booked,
      (state, event) => {
        stumble()
        const { cents } = event.payload
        return {
          cents: state.cents + cents,
          entries: [...state.entries, cents],
          since: state.since ?? day,
        }
      },
      key,
    )
    .on(
      closed,
      () => {
        stumble()
        return undefined
      },
      key,
    )
}

const day = new Date('2026-03-01T23:30:00Z')

/** A type of the same name exists, and it means another one. */
async function makeTable(): Promise<void> {
  await database.query(`
    create table "date" (
      account uuid primary key,
      cents numeric not null,
      entries bigint[] not null,
      details jsonb not null,
      since timestamptz,
      hash bytea not null,
      overdrawn boolean not null,
      noted timestamptz not null default now()
    )`)
}

const ids = Array.from({ length: 6 }, (_, n) => `00000000-0000-4000-8000-00000000000${n}`)

interface Step {
  readonly account: string
  /** How it changes; null: it is closed. */
  readonly cents: bigint | null
}

/** The model: pure. */
function fold(steps: readonly Step[]): Map<string, Account> {
  const states = new Map<string, Account>()
  for (const { account, cents } of steps) {
    if (cents === null) {
      states.delete(account)
      continue
    }
    const state = states.get(account) ?? initial()
    states.set(account, {
      cents: state.cents + cents,
      entries: [...state.entries, cents],
      since: day,
    })
  }
  return states
}

/** The table as it should be. */
function rowsOf(states: ReadonlyMap<string, Account>, version: number): unknown[] {
  return [...states]
    .map(([account, { cents, entries }]) => ({
      account,
      cents: String(cents * BigInt(version)),
      entries: entries.map(String),
      details: { last: String(entries.at(-1)), text: `it's "${cents}"` },
      since: day,
      hash: String(cents),
      overdrawn: cents < 0n,
    }))
    .toSorted((a, b) => (a.account < b.account ? -1 : 1))
}

async function readTable(): Promise<unknown[]> {
  const { rows } = await database.query(
    `select account, cents, entries, details, since, convert_from(hash, 'UTF8') as hash, overdrawn
     from "date" order by account`,
  )
  return rows
}

async function publish(app: App, steps: readonly Step[]): Promise<EventSequence> {
  const published = await app.publish(
    steps.map(({ account, cents }) =>
      cents === null ? closed({ account }) : booked({ account, cents }),
    ),
  )
  return published.at(-1)?.sequence as EventSequence
}

async function rebuilt(app: App): Promise<void> {
  await expect
    .poll(() => app.rebuilds.progress('accounts'), { timeout: 60_000, interval: 20 })
    .toBeUndefined()
}

const steps = fc.array(
  fc.record({
    account: fc.constantFrom(...ids),
    cents: fc.option(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), { freq: 5 }).map((cents) =>
      // An array of bigint holds no more.
      cents === null ? null : BigInt.asIntN(60, cents),
    ),
  }),
  { minLength: 2, maxLength: 50, size: 'max' },
)

test('for any events, batches, partitions, removals and failures, and after a rebuild: the table is the pure fold', async () => {
  await makeTable()
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.record({
        batchSize: fc.constantFrom(1, 3, 1_000),
        partitions: fc.integer({ min: 1, max: 3 }),
        cacheSize: fc.constantFrom(0, 2, 10_000),
        failAt: fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 3, size: 'max' }),
      }),
      async (all, shape) => {
        await database.query('truncate tidemark.events, tidemark.listeners, "date" cascade')
        const half = Math.ceil(all.length / 2)
        const first = accounts({ version: 1, ...shape })
        await using old = appOn(database, [first])
        await old.start(runner)
        await old.waitFor(first, await publish(old, all.slice(0, half)))
        expect(await readTable()).toEqual(rowsOf(fold(all.slice(0, half)), 1))

        const second = accounts({ version: 2, ...shape })
        await using app = appOn(database, [second])
        await app.start(runner)
        const last = await publish(app, all.slice(half))
        await rebuilt(app)
        await app.waitFor(second, last)
        expect(await readTable()).toEqual(rowsOf(fold(all), 2))
        const listed = await app.list(second, { limit: 100 })
        expect(new Map(listed.map(({ key, state }) => [key, state]))).toEqual(fold(all))
      },
    ),
    { numRuns: 12, endOnFailure: true },
  )
})

test('a rebuild equals the live table while events come in, and readers never see it empty, partial or mixed', async () => {
  await makeTable()
  const first = accounts({ version: 1, partitions: 2 })
  await using old = appOn(database, [first])
  await old.start(runner)
  const all: Step[] = []
  const more = async (count: number): Promise<EventSequence> => {
    const some = Array.from({ length: count }, (_, n) => ({
      account: ids[n % ids.length] as string,
      cents: 1n,
    }))
    const last = await publish(old, some)
    all.push(...some)
    return last
  }
  await old.waitFor(first, await more(3_000))

  const second = accounts({ version: 2, partitions: 2 })
  await using app = appOn(database, [second])
  let going = true
  const seen = { reads: 0, partial: 0, mixed: 0 }
  const reader = (async () => {
    while (going) {
      const { rows } = await database.query<{ entries: number; factors: string[] }>(
        `select coalesce(sum(cardinality(entries)), 0)::int as entries,
           array_agg(distinct cents / cardinality(entries)) as factors from "date"`,
      )
      const [row] = rows
      seen.reads += 1
      if ((row?.entries ?? 0) < 3_000) seen.partial += 1
      if (row?.factors?.length !== 1) seen.mixed += 1
    }
  })()
  let last = await more(1)
  const publisher = (async () => {
    while (going) last = await more(5)
  })()
  await app.start(runner)
  await rebuilt(app)
  going = false
  await Promise.all([reader, publisher])
  await app.waitFor(second, last)
  expect(seen).toMatchObject({ partial: 0, mixed: 0 })
  expect(seen.reads).toBeGreaterThan(0)
  expect(await readTable()).toEqual(rowsOf(fold(all), 2))
})

test('a zombie that lost its lease writes neither states nor rows', async () => {
  await makeTable()
  const projection = accounts({ version: 1 })
  await using app = appOn(database, [projection])
  await using _ = await app.start({ ...runner, acquireInterval: 50 })
  const [account] = ids as [string]
  await app.waitFor(projection, await publish(app, [{ account, cents: 1n }]))
  {
    // It has written everything, and another becomes the owner before it commits.
    await using fault = await faults(database).crashBeforeCommit('accounts')
    const last = await publish(app, [{ account, cents: 10n }])
    await app.waitFor(projection, last, { timeout: '30s' })
    expect(await fault.hits()).toBeGreaterThan(1)
  }
  expect(await faults(database).usurp('accounts', 1_000)).toBe(1)
  const last = await publish(app, [{ account, cents: 100n }])
  expect(await app.waitFor(projection, last, { timeout: 300, onTimeout: 'return' })).toBe(false)
  expect(await readTable()).toMatchObject([{ cents: '11' }])
  expect(await app.read(projection, account)).toMatchObject({ cents: 11n })
  await app.waitFor(projection, last, { timeout: '30s' })
  expect(await readTable()).toMatchObject([{ cents: '111', entries: ['1', '10', '100'] }])
})

test('a reset empties the table and derives it again', async () => {
  await makeTable()
  const projection = accounts({ version: 1 })
  await using app = appOn(database, [projection])
  await app.start(runner)
  const all = ids.map((account, n) => ({ account, cents: BigInt(n + 1) }))
  const last = await publish(app, all)
  await app.waitFor(projection, last)
  await database.query(`update "date" set cents = 0; delete from "date" where overdrawn is null`)
  await app.reset(projection)
  await app.waitFor(projection, last)
  expect(await readTable()).toEqual(rowsOf(fold(all), 1))
})

test('what the table lacks is named at the start, all of it', async () => {
  await database.query(`
    create table balances (
      id text not null, cents text[] not null, opened boolean, twice bigint generated always as (1) stored,
      owner text not null, kind text not null default 'plain'
    )`)
  const balances = defineProjection('balances', {
    version: 1,
    keyed: true,
    initial: () => ({ cents: 0n }),
    table: {
      name: 'balances',
      key: 'id',
      columns: {
        cents: (state) => state.cents,
        opened: () => new Date(),
        twice: () => 2,
        kindd: () => 'odd',
      },
    },
  }).on(booked, (state) => state, { key: (event) => event.payload.account })
  await using app = appOn(database, [balances])
  await expect(app.start(runner)).rejects.toMatchObject({
    code: 'TIDEMARK_TABLE_MISMATCH',
    details: {
      problems: [
        'its column "twice" is generated and cannot be written',
        'it has no column "kindd" (did you mean "kind"?)',
        'its column "cents" is text[], which does not hold a number',
        'its column "opened" is boolean, which does not hold a Date',
        'its column "owner" is NOT NULL without a default, and is not written',
        'its key "id" has no unique index or primary key of its own',
      ],
    },
  })
  await database.query('drop table balances')
  await expect(app.start(runner)).rejects.toMatchObject({
    code: 'TIDEMARK_TABLE_MISMATCH',
    message: expect.stringContaining('does not exist') as string,
  })
  const { rows } = await database.query('select from tidemark.listeners')
  expect(rows).toEqual([])
})

test('a mapping that changes needs a raised version, which derives the rows again', async () => {
  await makeTable()
  const plain = (version: number) =>
    defineProjection('accounts', { version, keyed: true, initial: () => 0n }).on(
      booked,
      (cents, event) => cents + event.payload.cents,
      { key: (event) => event.payload.account },
    )
  const [account] = ids as [string]
  {
    await using app = appOn(database, [plain(1)])
    await app.start(runner)
    await app.waitFor('accounts', await publish(app, [{ account, cents: 5n }]))
  }
  {
    await using app = appOn(database, [accounts({ version: 1 })])
    await expect(app.start(runner)).rejects.toMatchObject({ code: 'TIDEMARK_TABLE_MISMATCH' })
  }
  await using app = appOn(database, [accounts({ version: 2 })])
  await app.start(runner)
  await rebuilt(app)
  expect(await readTable()).toMatchObject([{ account, cents: '10' }])
})

test('a table is checked when it is defined', () => {
  const define = (table: object, keyed = true) =>
    defineProjection('balances', {
      version: 1,
      ...(keyed ? { keyed } : {}),
      initial: () => 0n,
      table,
    } as never)
  const columns = { cents: (state: bigint) => state }
  for (const [table, message] of [
    [{ nam: 'x' }, 'has no option "nam"'],
    [{ name: 'a.b', key: 'id', columns }, 'without its schema'],
    [{ name: 'a', columns }, '"table.key"'],
    [{ name: 'a', key: 'id', columns: {} }, 'name a column'],
    [{ name: 'a', key: 'id', columns: { cents: 1 } }, '"table.columns.cents"'],
    [{ name: 'a', key: 'cents', columns }, 'has the key "cents"'],
  ] as const) {
    expect(() => define(table)).toThrow(message)
  }
  expect(() => define({ name: 'a', key: 'id', columns }, false)).toThrow('not keyed')
})
