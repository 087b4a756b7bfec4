import { defineEvent, type LockStore } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const unused = defineEvent('unused', { payload: z.object({}) })

/** A store that says yes to everything, where nothing else is told. */
function storeWith(changes: Partial<LockStore>): LockStore {
  return {
    name: 'made',
    acquire: async () => 7n,
    renew: async () => true,
    release: async () => {},
    ...changes,
  }
}

/** Keeps the event loop busy: no timer fires meanwhile. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

const lost = { code: 'TIDEMARK_LOCK_LOST' }

test('a lock has one holder, says when it skips, and hands out growing tokens', async () => {
  const latch = new Latch()
  const book = new LogBook()
  await using one = appOn(database, [unused])
  await using two = appOn(database, [unused], { logger: book })
  const holding = one.jobs.withLock('report', { ttl: '30s' }, async ({ token }) => {
    await latch.pass()
    return token
  })
  await latch.reached
  expect(await two.jobs.withLock('report', {}, async () => 'mine')).toEqual({ held: false })
  expect(book.entries).toEqual([
    {
      level: 'warn',
      fields: { lock: 'report', store: 'postgres' },
      message: 'skipped: another holds the lock "report"',
    },
  ])
  latch.open()
  const { value: first = 0n } = (await holding) as { value?: bigint }
  expect(first).toBeGreaterThan(0n)
  expect(await two.jobs.withLock('report', {}, async ({ token }) => token)).toEqual({
    held: true,
    value: first + 1n,
  })
})

test('a lock that expired is taken over, and its late holder learns of it', async () => {
  const latch = new Latch()
  await using one = appOn(database, [unused])
  let first = 0n
  const late = one.jobs.withLock('report', { ttl: 300 }, async ({ signal, token }) => {
    first = token
    await latch.pass()
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  })
  await latch.reached
  await database.query(`update tidemark.locks set held_until = now() - interval '1 s'`)
  const taken = await one.jobs.withLock('report', { ttl: '30s' }, async ({ token }) => {
    latch.open()
    await expect(late).rejects.toMatchObject({ code: 'TIDEMARK_LOCK_LOST' })
    return token
  })
  expect(taken).toEqual({ held: true, value: first + 1n })
})

test('the lock of an application is kept where it says, and one lock where its options say', async () => {
  const asked: unknown[] = []
  const store = (name: string): LockStore =>
    storeWith({
      name,
      acquire: async (...given) => {
        asked.push([name, ...given])
        return 7n
      },
      release: async (...given) => void asked.push([name, ...given]),
    })
  await using app = appOn(database, [unused], { locks: { store: store('everywhere') } })
  const work = ({ key, token }: { key: string; token: bigint }) => [key, token]
  const done = await app.jobs.withLock('k', { ttl: '1m' }, work)
  expect(done).toEqual({ held: true, value: ['k', 7n] })
  await app.jobs.withLock('k', { ttl: '1m', store: store('here') }, work)
  expect(asked).toEqual([
    ['everywhere', 'k', 60_000],
    ['everywhere', 'k', 7n],
    ['here', 'k', 60_000],
    ['here', 'k', 7n],
  ])
})

test('a store that does not answer at all does not keep its holder believing', async () => {
  await using app = appOn(database, [unused])
  const store = storeWith({ renew: () => new Promise(() => {}) })
  const reason = await app.jobs
    .withLock('k', { ttl: 150, store }, ({ signal }) => {
      return new Promise((resolve) =>
        signal.addEventListener('abort', () => resolve(signal.reason)),
      )
    })
    .catch((error: unknown) => error)
  expect(reason).toMatchObject(lost)
})

test('nobody waits for ever for a store that neither gives a lock nor takes it back', async () => {
  const log = new LogBook()
  await using app = appOn(database, [unused], { logger: log })
  const released: bigint[] = []
  const late = Promise.withResolvers<bigint>()
  const store: LockStore = {
    name: 'deaf',
    acquire: async () => 1n,
    renew: async () => true,
    release: () => new Promise<never>(() => {}),
  }
  const slow: LockStore = {
    ...store,
    acquire: () => late.promise,
    release: async (_, token) => void released.push(token),
  }
  const [kept, refused] = await Promise.allSettled([
    app.jobs.withLock('k', { ttl: 300, store }, () => 'done'),
    app.jobs.withLock('k', { ttl: 300, store: slow }, () => 'never'),
  ])
  expect(kept).toMatchObject({ value: { held: true, value: 'done' } })
  expect(refused).toMatchObject({ reason: { code: 'TIDEMARK_STORE_UNAVAILABLE' } })
  // What is given after all is given back.
  late.resolve(7n)
  await vi.waitFor(() => expect(released).toEqual([7n]))
})

test('a store that fails for a while loses nothing, as long as it is back in time', async () => {
  await using app = appOn(database, [unused])
  let renewals = 0
  const again = Promise.withResolvers<void>()
  const store = storeWith({
    renew: async () => {
      renewals += 1
      if (renewals === 1) throw new Error('away')
      again.resolve()
      return true
    },
  })
  const done = await app.jobs.withLock('k', { ttl: '3s', store }, async ({ signal }) => {
    await again.promise
    return signal.aborted
  })
  expect(done).toEqual({ held: true, value: false })
})

test.each([false, undefined, 0, 'OK'])('a renewal that answers %s is none', async (answer) => {
  await using app = appOn(database, [unused])
  const store = storeWith({ renew: async () => answer as boolean })
  const held = app.jobs.withLock('k', { ttl: 300, store }, async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
  })
  await expect(held).rejects.toMatchObject(lost)
})

test('work that kept the event loop busy for longer than the lock lasts has not held it', async () => {
  await using app = appOn(database, [unused])
  const held = app.jobs.withLock('k', { ttl: 100, store: storeWith({}) }, () => block(200))
  await expect(held).rejects.toMatchObject(lost)
})

test('the time of a lock counts from when it was asked for', async () => {
  await using app = appOn(database, [unused])
  const store = storeWith({
    acquire: async () => {
      block(200)
      return 7n
    },
    renew: async () => false,
  })
  let aborted = false
  const held = app.jobs.withLock('k', { ttl: 100, store }, ({ signal }) => {
    aborted = signal.aborted
  })
  await expect(held).rejects.toMatchObject(lost)
  expect(aborted).toBe(true)
})

test('a lock that cannot be given back does not undo what was done, and the log says so', async () => {
  const book = new LogBook()
  await using app = appOn(database, [unused], { logger: book })
  const store = storeWith({ release: () => Promise.reject(new Error('away')) })
  const done = await app.jobs.withLock('k', { store }, () => 42)
  expect(done).toEqual({ held: true, value: 42 })
  expect(book.entries).toMatchObject([{ level: 'warn', fields: { lock: 'k', store: 'made' } }])
})

test.each([
  ['a store without a method', { name: 'made', acquire: async () => 1n } as unknown as LockStore],
  ['a store without a name', storeWith({ name: undefined as unknown as string })],
  ['a token that is none', storeWith({ acquire: async () => 7 as unknown as bigint })],
])('%s is refused', async (_, store) => {
  await using app = appOn(database, [unused])
  let worked = false
  const held = app.jobs.withLock('k', { store }, () => {
    worked = true
  })
  await expect(held).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  expect(worked).toBe(false)
})
