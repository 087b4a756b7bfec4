import { defineListener, isTidemarkError, toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { effectsOf, noted, notesOf, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const soon = { backoff: () => 5 }

/** A listener that writes its effect and then throws on one note, for as long as `bad` says so. */
function failing(bad: () => boolean, attempts: number[], options: { attempts: number }) {
  return defineListener('ledger', { retry: { ...options, ...soon } }).on(
    noted,
    async (event, { tx, attempt }) => {
      await recordEffect(tx, 'ledger', event)
      if (event.payload.note !== 'bad') return
      attempts.push(attempt)
      if (bad()) throw new Error('cannot stand it')
    },
  )
}

test('a handler that throws is tried again, and its event takes effect once', async () => {
  const attempts: number[] = []
  const listener = failing(() => attempts.length < 4, attempts, { attempts: 10 })
  await using app = appOn(database, [listener])
  const published = await app.publish([
    noted({ note: 'good' }),
    noted({ note: 'bad' }),
    noted({ note: 'after' }),
  ])
  await app.start()
  await app.waitFor(listener, toEventSequence(published.at(-1)?.sequence ?? 0))

  // In the batch, and then alone; only attempts at the event itself are counted.
  expect(attempts).toEqual([1, 1, 2, 3])
  expect(await notesOf(database, 'ledger')).toEqual(['good', 'bad', 'after'])
  const { partitions } = await app.listeners.get('ledger')
  expect(partitions[0]).toMatchObject({ attempts: 0, failedSequence: null, lastError: null })
})

test('a handler that goes on throwing halts its listener with the error recorded; the events before it are committed, and resume goes on with it', async () => {
  const attempts: number[] = []
  let broken = true
  const listener = failing(() => broken, attempts, { attempts: 3 })
  const log = new LogBook()
  await using app = appOn(database, [listener, recorder('other')], { logger: log })
  const published = await app.publish([
    noted({ note: 'one' }),
    noted({ note: 'two' }),
    noted({ note: 'bad' }),
    noted({ note: 'after' }),
  ])
  const last = toEventSequence(published.at(-1)?.sequence ?? 0)
  await app.start()
  const error: unknown = await app.waitFor(listener, last).catch((reason: unknown) => reason)

  expect(isTidemarkError(error, 'TIDEMARK_LISTENER_HALTED')).toBe(true)
  expect(await notesOf(database, 'ledger')).toEqual(['one', 'two'])
  const status = await app.listeners.get('ledger')
  expect(status).toMatchObject({ status: 'halted', cursor: published[1]?.sequence })
  expect(status.partitions[0]).toMatchObject({
    attempts: 3,
    failedSequence: published[2]?.sequence,
    owner: null,
    lastError: {
      code: 'TIDEMARK_HANDLER_FAILED',
      cause: { message: 'cannot stand it' },
    },
  })
  expect((await log.wrote(/ledger has halted/)).level).toBe('error')
  // Its neighbour never noticed.
  await app.waitFor('other', last)

  broken = false
  await app.listeners.resume('ledger')
  await app.waitFor(listener, last)
  expect(await notesOf(database, 'ledger')).toEqual(['one', 'two', 'bad', 'after'])
  expect((await app.listeners.get('ledger')).status).toBe('active')
})

test('attempts are counted across processes: a halt is not put off by restarts', async () => {
  const attempts: number[] = []
  const build = () =>
    defineListener('ledger', { retry: { attempts: 4, backoff: () => 60_000 } }).on(
      noted,
      async (_, { attempt }) => {
        attempts.push(attempt)
        throw new Error('never')
      },
    )
  let sequence = toEventSequence(0)
  for (let start = 1; start <= 3; start++) {
    await using app = appOn(database, [build()])
    if (start === 1) ({ sequence } = await app.publish(noted({ note: 'bad' })))
    else await database.query(`update tidemark.cursors set next_attempt_at = clock_timestamp()`)
    await app.start()
    await expect
      .poll(async () => (await app.listeners.get('ledger')).partitions[0]?.attempts, {
        timeout: 10_000,
      })
      .toBe(start)
  }
  expect(attempts).toEqual([1, 2, 3])
  expect(sequence).toBeGreaterThan(0n)
})

test('an event that cannot be decoded halts its listener, which has committed those before it; a definition that reads it goes on', async () => {
  const listener = recorder('ledger', { retry: { attempts: 2, ...soon } })
  await using app = appOn(database, [listener])
  const before = await app.publish(noted({ note: 'before' }))
  await database.query(
    `insert into tidemark.events (type, payload) values ('test.noted', '{"note": 7}')`,
  )
  const after = await app.publish(noted({ note: 'after' }))
  await app.start()
  await expect(app.waitFor(listener, after.sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })

  expect(await effectsOf(database, 'ledger')).toEqual([before.sequence])
  const { partitions } = await app.listeners.get('ledger')
  expect(partitions[0]).toMatchObject({
    failedSequence: before.sequence + 1n,
    lastError: { code: 'TIDEMARK_EVENT_UNREADABLE' },
  })
  expect(partitions[0]?.lastError?.message).toContain('invalid at note')

  await database.query(
    `update tidemark.events set payload = '{"note": "repaired"}' where sequence = $1`,
    [before.sequence + 1n],
  )
  await app.close()
  await using repaired = appOn(database, [listener])
  await repaired.start()
  await repaired.listeners.resume('ledger')
  await repaired.waitFor(listener, after.sequence)
  expect(await notesOf(database, 'ledger')).toEqual(['before', 'repaired', 'after'])
})

test('an event of a newer version than this process knows is waited for and is not skipped', async () => {
  const listener = recorder('ledger', { retry: { attempts: 1, ...soon } })
  await using app = appOn(database, [listener])
  await database.query(
    `insert into tidemark.events (type, version, payload) values ('test.noted', 2, '{"note": "new"}')`,
  )
  const { sequence } = await app.publish(noted({ note: 'after' }))
  await app.start()
  await expect
    .poll(async () => (await app.listeners.get('ledger')).partitions[0]?.awaits, {
      timeout: 20_000,
    })
    .toEqual({ type: 'test.noted', version: 2 })
  expect(sequence).toBeGreaterThan(0n)
  expect((await app.listeners.get('ledger')).status).toBe('active')
  expect(await effectsOf(database, 'ledger')).toEqual([])
})

test('a handler past its timeout loses its connection: its late write fails, and nothing of it is kept', async () => {
  const late = Promise.withResolvers<unknown>()
  const aborted = Promise.withResolvers<unknown>()
  let attempts = 0
  const listener = defineListener('ledger', {
    handlerTimeout: 200,
    retry: { attempts: 2, ...soon },
  }).on(noted, async (event, { tx, signal }) => {
    attempts += 1
    await recordEffect(tx, 'ledger', event)
    if (attempts > 1) return
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    aborted.resolve(signal.reason)
    // It does not care, and writes all the same.
    late.resolve(await recordEffect(tx, 'late', event).catch((error: unknown) => error))
  })
  await using app = appOn(database, [listener])
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'slow' }))
  expect(await aborted.promise).toMatchObject({ code: 'TIDEMARK_HANDLER_TIMEOUT' })
  expect(await late.promise).toMatchObject({ code: 'TIDEMARK_TRANSACTION_CLOSED' })
  await app.waitFor(listener, sequence)

  expect(await effectsOf(database, 'late')).toEqual([])
  expect(await effectsOf(database, 'ledger')).toEqual([sequence])
  expect(attempts).toBe(2)
})

test('a query that outlives its handler does not write in somebody elses transaction', async () => {
  const late = Promise.withResolvers<() => Promise<void>>()
  const listener = defineListener('ledger').on(noted, async (event, { tx }) => {
    late.resolve(() => recordEffect(tx, 'late', event))
    await recordEffect(tx, 'ledger', event)
  })
  await using app = appOn(database, [listener])
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'forgetful' }))
  await app.waitFor(listener, sequence)
  const write = await late.promise
  await expect(write()).rejects.toMatchObject({ code: 'TIDEMARK_TRANSACTION_CLOSED' })
  expect(await effectsOf(database, 'late')).toEqual([])
})

test('a handler that swallows the error of a statement does not lose its event silently', async () => {
  let swallow = true
  const listener = defineListener('ledger', { retry: { attempts: 2, ...soon } }).on(
    noted,
    async (event, { tx }) => {
      await recordEffect(tx, 'ledger', event)
      if (swallow) await tx.query('select 1 / 0').catch(() => {})
    },
  )
  await using app = appOn(database, [listener])
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'swallowed' }))
  await expect(app.waitFor(listener, sequence)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
    details: { lastError: { code: 'TIDEMARK_TRANSACTION_ABORTED' } },
  })
  expect(await effectsOf(database, 'ledger')).toEqual([])
  swallow = false
  await app.listeners.resume('ledger')
  await app.waitFor(listener, sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([sequence])
})

test('a handler that waits does not delay the other listeners', async () => {
  const entered = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const slow = defineListener('slow').on(noted, async (event, { tx }) => {
    entered.resolve()
    await gate.promise
    await recordEffect(tx, 'slow', event)
  })
  await using app = appOn(database, [slow, recorder('quick')])
  await app.start()
  await app.publish(noted({ note: 'first' }))
  await entered.promise
  const { sequence } = await app.publish(noted({ note: 'second' }))
  await app.waitFor('quick', sequence)
  expect(await notesOf(database, 'quick')).toEqual(['first', 'second'])
  expect(await effectsOf(database, 'slow')).toEqual([])
  gate.resolve()
  await app.waitFor('slow', sequence)
  expect(await notesOf(database, 'slow')).toEqual(['first', 'second'])
})
