import { defineEvent, defineProjection, toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const soon = { backoff: () => 5 }

const deposited = defineEvent('test.deposited', {
  payload: z.object({ account: z.string(), amount: z.bigint(), at: z.date() }),
})

interface Books {
  readonly total: bigint
  readonly accounts: ReadonlyMap<string, bigint>
  readonly days: ReadonlySet<string>
  readonly latest: Date | undefined
}

const books = defineProjection('books', {
  version: 1,
  batchSize: 2,
  initial: (): Books => ({
    total: 0n,
    accounts: new Map(),
    days: new Set(),
    latest: undefined,
  }),
}).on(deposited, (state, { payload: { account, amount, at } }) => ({
  total: state.total + amount,
  accounts: new Map(state.accounts).set(account, (state.accounts.get(account) ?? 0n) + amount),
  days: new Set([...state.days, at.toISOString().slice(0, 10)]),
  latest: at,
}))

const noon = new Date('2026-03-01T12:00:00.123Z')
const huge = 2n ** 80n

test('a state with bigint, Date, Map, Set and undefined comes back as it was, also to another process', async () => {
  const expected: Books = {
    total: huge + 5n,
    accounts: new Map([
      ['a', huge + 3n],
      ['b', 2n],
    ]),
    days: new Set(['2026-03-01']),
    latest: noon,
  }
  {
    await using app = appOn(database, [books])
    expect(await app.read(books)).toEqual(books.options.initial())
    await app.start()
    const published = await app.publish([
      deposited({ account: 'a', amount: huge, at: noon }),
      deposited({ account: 'b', amount: 2n, at: noon }),
      deposited({ account: 'a', amount: 3n, at: noon }),
    ])
    await app.waitFor(books, toEventSequence(published[2]?.sequence ?? 0))
    expect(await app.read(books)).toEqual(expected)
  }
  await using app = appOn(database, [books])
  expect(await app.read(books)).toEqual(expected)
  await app.start()
  const { sequence } = await app.publish(deposited({ account: 'b', amount: 1n, at: noon }))
  await app.waitFor(books, sequence)
  expect((await app.read(books)).accounts.get('b')).toBe(3n)
})

test('a reducer that changes its state in place and then throws corrupts nothing', async () => {
  let throwing = true
  const list = defineProjection('list', {
    version: 1,
    retry: { attempts: 3, ...soon },
    initial: (): { notes: string[] } => ({ notes: [] }),
  }).on(noted, (state, event) => {
    state.notes.push(event.payload.note)
    if (throwing && event.payload.note === 'bad') throw new Error('half-way')
    return state
  })
  await using app = appOn(database, [list])
  const published = await app.publish([
    noted({ note: 'one' }),
    noted({ note: 'two' }),
    noted({ note: 'bad' }),
    noted({ note: 'three' }),
  ])
  const last = toEventSequence(published[3]?.sequence ?? 0)
  await app.start()
  await expect(app.waitFor(list, last)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect(await app.read(list)).toEqual({ notes: ['one', 'two'] })
  throwing = false
  await app.listeners.resume('list')
  await app.waitFor(list, last)
  expect(await app.read(list)).toEqual({ notes: ['one', 'two', 'bad', 'three'] })
})

test('a stored state that its schema refuses halts the projection and is not touched', async () => {
  const build = (state?: z.ZodType<{ n: number }>) =>
    defineProjection('count', {
      version: 1,
      retry: { attempts: 2, ...soon },
      initial: () => ({ n: 0 }),
      ...(state === undefined ? {} : { state }),
    }).on(noted, (before) => ({ n: before.n + 1 }))
  {
    await using app = appOn(database, [build()])
    await app.start()
    const { sequence } = await app.publish(noted({ note: 'one' }))
    await app.waitFor('count', sequence)
  }
  await database.query(`update tidemark.cursors set state = '{"n": "seven"}'`)
  const strict = build(z.object({ n: z.number() }))
  await using app = appOn(database, [strict])
  await expect(app.read(strict)).rejects.toMatchObject({ code: 'TIDEMARK_PROJECTION_UNREADABLE' })
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'two' }))
  await expect(app.waitFor(strict, sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
    details: { lastError: { code: 'TIDEMARK_PROJECTION_UNREADABLE' } },
  })
  expect((await database.query('select state from tidemark.cursors')).rows).toEqual([
    { state: { n: 'seven' } },
  ])
})

test('a reducer that makes a state which cannot be stored halts the projection with the last good state kept', async () => {
  const broken = defineProjection('broken', {
    version: 1,
    retry: { attempts: 1, ...soon },
    initial: (): { value: unknown } => ({ value: 'good' }),
  }).on(noted, (_, event) => ({
    value: event.payload.note === 'bad' ? () => 'a function' : event.payload.note,
  }))
  await using app = appOn(database, [broken])
  await app.start()
  const good = await app.publish(noted({ note: 'fine' }))
  await app.waitFor(broken, good.sequence)
  const bad = await app.publish(noted({ note: 'bad' }))
  await expect(app.waitFor(broken, bad.sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
    details: { lastError: { code: 'TIDEMARK_PAYLOAD_NOT_STORABLE' } },
  })
  expect(await app.read(broken)).toEqual({ value: 'fine' })
})

test('a raised version is derived again from zero; a process of the older version leaves it alone', async () => {
  const build = (version: number, step: number) =>
    defineProjection('count', { version, initial: () => 0 }).on(noted, (n) => n + step)
  const old = appOn(database, [build(1, 1)])
  await old.start({ acquireInterval: 50 })
  for (const note of ['one', 'two']) await old.publish(noted({ note }))
  const third = await old.publish(noted({ note: 'three' }))
  await old.waitFor('count', third.sequence)
  expect(await old.read(build(1, 1))).toBe(3)

  const second = build(2, 100)
  await using young = appOn(database, [second])
  await young.start({ acquireInterval: 50 })
  await expect.poll(() => young.rebuilds.progress('count'), { timeout: 20_000 }).toBeUndefined()
  await young.waitFor('count', third.sequence)
  expect(await young.read(second)).toBe(300)
  // The older process lost its lease with its generation, and does not take the new one.
  const fourth = await old.publish(noted({ note: 'four' }))
  await young.waitFor('count', fourth.sequence)
  expect(await young.read(second)).toBe(400)
  await old.close()
  await using older = appOn(database, [build(1, 1)])
  await older.start()
  expect((await young.listeners.get('count')).version).toBe(2)
})
