import { defineEvent, defineListener, defineProjection, type FailurePolicy } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { noted, notesOf, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const quick = { leaseDuration: 5_000, acquireInterval: 50, handleSignals: false }
const policies: readonly FailurePolicy[] = ['skip', 'park', 'park-key', 'halt']

/** A listener whose handler fails with a SQLSTATE at the note "bad" for as long as the server is in trouble. */
function troubled(policy: FailurePolicy, code: string) {
  const trouble = { lasts: true, met: 0 }
  const listener = defineListener('ledger', {
    onFailure: policy,
    retry: { attempts: 1, backoff: () => 1 },
  }).on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'ledger', event)
    if (event.payload.note !== 'bad' || !trouble.lasts) return
    trouble.met += 1
    await tx.query(`do $$ begin raise exception 'made up' using errcode = '${code}'; end $$`)
  })
  return { listener, trouble }
}

const servers = [
  ['disk full', '53100'],
  ['out of memory', '53200'],
  ['too many connections', '53300'],
  ['an I/O error', '58030'],
  ['read-only', '25006'],
  ['lock not available', '55P03'],
  ['an undefined table', '42P01'],
  ['an undefined column', '42703'],
  ['an undefined function', '42883'],
  ['shutdown', '57P01'],
  ['a deadlock', '40P01'],
  ['a serialization failure', '40001'],
] as const

describe('the server’s trouble is not the event’s fault', () => {
  test.each(servers.map(([what, code], index) => ({ what, code, policy: policies[index % 4]! })))(
    '$what ($code) under policy $policy',
    async ({ code, policy }) => {
      const { listener, trouble } = troubled(policy, code)
      await using app = appOn(database, [listener])
      await app.publish(['a', 'bad', 'b'].map((note) => noted({ note })))
      const { sequence } = await app.publish(noted({ note: 'last' }))
      await app.start(quick)
      await expect.poll(() => trouble.met, { timeout: 30_000 }).toBeGreaterThan(3)
      await expect
        .poll(async () => (await app.listeners.get('ledger')).partitions[0]?.lastError?.message, {
          timeout: 20_000,
        })
        .toContain('made up')
      const { status, partitions } = await app.listeners.get('ledger')
      // Visible, uncounted, without end; and what came before it has committed.
      expect({ status, attempts: partitions[0]?.attempts }).toEqual({
        status: 'active',
        attempts: 0,
      })
      expect(await notesOf(database, 'ledger')).toEqual(['a'])
      trouble.lasts = false
      await app.waitFor('ledger', sequence, { timeout: 40_000 })
      expect(await notesOf(database, 'ledger')).toEqual(['a', 'bad', 'b', 'last'])
      expect(await app.deadLetters.list({})).toEqual([])
    },
  )

  test.each(['22012', '23505', 'P0001', '22P02', '42601'])(
    'what the event’s own statement is refused for is: %s',
    async (code) => {
      const { listener } = troubled('skip', code)
      await using app = appOn(database, [listener])
      await app.publish(['a', 'bad', 'b'].map((note) => noted({ note })))
      const { sequence } = await app.publish(noted({ note: 'last' }))
      await app.start(quick)
      await app.waitFor('ledger', sequence, { timeout: 30_000 })
      expect(await notesOf(database, 'ledger')).toEqual(['a', 'b', 'last'])
    },
  )

  test('an error that the handler swallows or wraps is blamed for what it is', async () => {
    const trouble = { lasts: true, met: 0 }
    const listener = defineListener('ledger', { onFailure: 'skip', retry: { attempts: 1 } }).on(
      noted,
      async (event, { tx }) => {
        await recordEffect(tx, 'ledger', event)
        if (!trouble.lasts) return
        trouble.met += 1
        const failing = tx.query(`do $$ begin raise exception 'x' using errcode = '53100'; end $$`)
        if (trouble.met % 2 === 0) await failing.catch(() => {})
        else
          await failing.catch((cause: unknown) => {
            throw new Error('could not write', { cause })
          })
      },
    )
    await using app = appOn(database, [listener])
    const { sequence } = await app.publish(noted({ note: 'one' }))
    await app.start(quick)
    await expect.poll(() => trouble.met, { timeout: 30_000 }).toBeGreaterThan(3)
    trouble.lasts = false
    await app.waitFor('ledger', sequence, { timeout: 40_000 })
    expect(await notesOf(database, 'ledger')).toEqual(['one'])
  })
})

test('an event whose handler always loses its connection is found out, and the one before it is not repeated', async () => {
  const runs = new Map<string, number>()
  const listener = defineListener('ledger', { onFailure: 'skip' }).on(
    noted,
    async (event, { tx }) => {
      const { note } = event.payload
      runs.set(note, (runs.get(note) ?? 0) + 1)
      await recordEffect(tx, 'ledger', event)
      if (note === 'bad') await tx.query('select pg_terminate_backend(pg_backend_pid())')
    },
  )
  await using app = appOn(database, [listener, recorder('neighbour')])
  await app.publish(['a', 'bad', 'b'].map((note) => noted({ note })))
  const { sequence } = await app.publish(noted({ note: 'last' }))
  await app.start(quick)
  await app.waitFor('neighbour', sequence, { timeout: 30_000 })
  await expect
    .poll(async () => (await app.listeners.get('ledger')).partitions[0]?.lastError, {
      timeout: 30_000,
    })
    .not.toBeNull()
  await app.waitFor('ledger', sequence, { timeout: 55_000 })
  expect(await notesOf(database, 'ledger')).toEqual(['a', 'b', 'last'])
  const [letter] = await app.deadLetters.list({ listener: 'ledger' })
  expect(letter).toMatchObject({
    state: 'skipped',
    error: { code: 'TIDEMARK_EVENT_LOSES_CONNECTION' },
  })
  // Twice with the batch, once on its own; then it has committed.
  expect(runs.get('a')).toBeLessThanOrEqual(3)
  expect(runs.get('bad')).toBeLessThanOrEqual(13)
})

test.each([
  ['itself', () => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })],
  [
    'as the cause of another',
    () =>
      new TypeError('fetch failed', {
        cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }),
      }),
  ],
])('a connection of the handler’s own that is lost is the event’s failure: %s', async (_, make) => {
  const listener = defineListener('ledger', {
    onFailure: 'skip',
    retry: { attempts: 2, backoff: () => 1 },
  }).on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'ledger', event)
    if (event.payload.note === 'bad') throw make()
  })
  await using app = appOn(database, [listener])
  await app.publish(['a', 'bad', 'b'].map((note) => noted({ note })))
  const { sequence } = await app.publish(noted({ note: 'last' }))
  await app.start(quick)
  await app.waitFor('ledger', sequence, { timeout: 30_000 })
  expect(await notesOf(database, 'ledger')).toEqual(['a', 'b', 'last'])
  const [letter] = await app.deadLetters.list({ listener: 'ledger' })
  expect(letter).toMatchObject({ attempts: 2, error: { code: 'TIDEMARK_HANDLER_FAILED' } })
})

describe('a process that is too old for an event leaves it to those who know it', () => {
  const old = defineEvent('test.placed', { payload: z.object({ id: z.string() }) })
  const young = defineEvent('test.placed', {
    version: 2,
    payload: z.object({ id: z.string(), amount: z.number() }),
    upcast: { 1: (before: { id: string }) => ({ ...before, amount: 0 }) },
  })
  const handled: string[] = []
  const consumers = (definition: typeof old, by: string, policy: FailurePolicy) => [
    defineListener('orders', { onFailure: policy, retry: { attempts: 1 } }).on(
      definition,
      (event) => {
        handled.push(`${by} ${event.payload.id}`)
      },
    ),
    defineProjection('tally', { version: 1, initial: () => ({ count: 0 }) }).on(
      definition,
      (state) => ({ count: state.count + 1 }),
    ),
  ]

  test.each(policies)('under policy %s', async (policy) => {
    handled.length = 0
    await using older = appOn(database, consumers(old, 'old', policy))
    await using newer = appOn(database, consumers(young as never, 'new', policy))
    await older.start(quick)
    const first = await older.publish(old({ id: 'one' }))
    await older.waitFor(['orders', 'tally'], first.sequence, { timeout: 30_000 })
    await newer.publish(young({ id: 'two', amount: 2 }))
    const last = await older.publish(old({ id: 'three' }))
    await expect
      .poll(async () => (await older.listeners.get('orders')).partitions[0]?.lastError?.code, {
        timeout: 30_000,
      })
      .toBe('TIDEMARK_EVENT_TOO_NEW')
    const { status, partitions } = await older.listeners.get('orders')
    expect({ status, attempts: partitions[0]?.attempts }).toEqual({ status: 'active', attempts: 0 })
    await newer.start(quick)
    await newer.waitFor(['orders', 'tally'], last.sequence, { timeout: 30_000 })
    expect(handled).toEqual(['old one', 'new two', 'new three'])
    expect(await older.deadLetters.list({})).toEqual([])
  })
})

test('questions to the application that throw or answer nonsense end nothing', async () => {
  const nonsense = () => Number.NaN
  const listener = defineListener('ledger', {
    retry: {
      attempts: 3,
      backoff: nonsense,
      retryable: () => {
        throw new Error('retryable')
      },
    },
    onFailure: () => Promise.reject(new Error('a promise')) as never,
  }).on(noted, () => {
    throw null
  })
  await using app = appOn(database, [listener, recorder('neighbour')])
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await app.start(quick)
  await app.waitFor('neighbour', sequence, { timeout: 30_000 })
  await expect
    .poll(async () => (await app.listeners.get('ledger')).status, { timeout: 30_000 })
    .toBe('halted')
  const { partitions } = await app.listeners.get('ledger')
  expect(partitions[0]?.attempts).toBe(3)
})
