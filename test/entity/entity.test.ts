import { defineEntity, defineEvent, type RecordedEvent } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const deposited = defineEvent('test.account_deposited', {
  payload: z.object({ cents: z.bigint() }),
})
const withdrawn = defineEvent('test.account_withdrawn', {
  payload: z.object({ cents: z.bigint() }),
})

const account = defineEntity('account', { initial: () => ({ cents: 0n }), snapshotEvery: 10 })
  .on(deposited, (state, event) => ({ cents: state.cents + event.payload.cents }))
  .on(withdrawn, (state, event) => ({ cents: state.cents - event.payload.cents }))

class NotEnough extends Error {}

function withdraw(state: { cents: bigint }) {
  if (state.cents < 10n) throw new NotEnough()
  return withdrawn({ cents: 10n })
}

test('commands on one entity from many callers never overdraw it', async () => {
  await using app = appOn(database, [{ deposited, withdrawn }])
  await app.decide(account, 'a', () => deposited({ cents: 50n }))
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, () => app.decide(account, 'a', withdraw, { attempts: 20 })),
  )
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')

  expect(refused).toHaveLength(3)
  for (const outcome of refused) expect(outcome.reason).toBeInstanceOf(NotEnough)
  expect(await app.load(account, 'a')).toMatchObject({ state: { cents: 0n }, version: 6n })
})

test('a command that answers nothing appends nothing; what it writes commits with its events', async () => {
  await using app = appOn(database, [{ deposited, withdrawn }])
  await database.query('create table receipts (account text)')
  await app.decide(account, 'b', () => undefined)
  expect(await app.load(account, 'b')).toEqual({ state: { cents: 0n }, version: 0n, eventsRead: 0 })

  const write = async (_: unknown, tx: { query: (text: string) => Promise<unknown> }) => {
    await tx.query(`insert into receipts values ('b')`)
    return deposited({ cents: 1n })
  }
  await app.decide(account, 'b', write)
  await expect(
    app.decide(account, 'b', async (state, tx) => {
      await write(state, tx)
      throw new NotEnough()
    }),
  ).rejects.toBeInstanceOf(NotEnough)
  expect((await database.query('select * from receipts')).rows).toHaveLength(1)
  expect((await app.load(account, 'b')).version).toBe(1n)
})

test('a snapshot shortens loading; reducers of another version pass it over', async () => {
  await using app = appOn(database, [{ deposited, withdrawn }])
  await app.publish(
    Array.from({ length: 25 }, () => deposited({ cents: 2n })),
    { stream: account.streamOf('c') },
  )
  await app.decide(account, 'c', () => undefined)
  expect(await app.load(account, 'c')).toEqual({
    state: { cents: 50n },
    version: 25n,
    eventsRead: 0,
  })

  const doubled = defineEntity('account', { initial: () => ({ cents: 0n }), version: 2 }).on(
    deposited,
    (state, event) => ({ cents: state.cents + 2n * event.payload.cents }),
  )
  expect(await app.load(doubled, 'c')).toEqual({
    state: { cents: 100n },
    version: 25n,
    eventsRead: 25,
  })
})

test('streams and the outbox are read as async iterables, in order and to the end or on and on', async () => {
  await using app = appOn(database, [{ deposited, withdrawn }])
  const drafts = Array.from({ length: 1200 }, (_, n) => deposited({ cents: BigInt(n) }))
  await app.publish(drafts, { stream: 's' })
  const cents = (event: RecordedEvent): bigint => (event.payload as { cents: bigint }).cents

  const fromStream = await Array.fromAsync(app.stream('s', 3n), cents)
  expect(fromStream).toEqual(drafts.slice(3).map((draft) => draft.payload.cents))
  expect(await Array.fromAsync(app.events({ types: [withdrawn.type] }))).toEqual([])
  expect(await Array.fromAsync(app.events(), cents)).toHaveLength(1200)

  const followed: bigint[] = []
  for await (const event of app.events({ follow: true })) {
    followed.push(cents(event))
    if (followed.length === 1200) await app.publish(deposited({ cents: 9_999n }))
    if (followed.length === 1201) break
  }
  expect(followed.at(-1)).toBe(9_999n)
})
