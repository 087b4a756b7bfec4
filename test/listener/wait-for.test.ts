import { defineEvent, defineListener, defineProjection } from 'tidemark'
import { afterEach, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, recordEffect, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Gate } from '../support/gate.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const other = defineEvent('test.other', { payload: z.object({}) })
const tally = defineProjection('tally', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)

afterEach(() => {
  vi.restoreAllMocks()
})

/** From now on nobody who waits for a listener is woken by a timer: only a signal can. */
function stopPolling(): void {
  const set = globalThis.setTimeout
  vi.spyOn(globalThis, 'setTimeout').mockImplementation((callback, ms) => {
    const waits = new Error('who asks').stack?.includes('cursor-signals') === true
    return set(waits ? () => {} : callback, ms)
  })
}

const gateKey = 4711

/** A listener that stops before the gate. */
function gated(name: string) {
  return defineListener(name).on(noted, async (event, { tx }) => {
    await tx.query('select pg_advisory_xact_lock_shared($1)', [gateKey])
    await recordEffect(tx, name, event)
  })
}

test('who waits in the process that runs the listener is woken by its commit, without polling', async () => {
  const listeners = [recorder('ledger'), tally]
  await using app = appOn(database, listeners)
  await app.start()
  const first = await app.publish(noted({ note: 'warm' }))
  await app.waitFor(listeners, first.sequence)
  stopPolling()
  for (let round = 1; round <= 5; round++) {
    const { sequence } = await app.publish(noted({ note: `round ${round}` }))
    expect(await app.waitFor(listeners, sequence)).toBe(true)
    expect(await app.read(tally)).toBe(round + 1)
  }
})

test('a listener that does not handle the type of the event is not waited for until its next flush', async () => {
  await using app = appOn(database, [recorder('ledger'), tally, other])
  await app.start()
  const first = await app.publish(noted({ note: 'warm' }))
  await app.waitFor(['ledger', tally], first.sequence)
  stopPolling()
  for (let round = 1; round <= 5; round++) {
    const { sequence } = await app.publish(other({}))
    expect(await app.waitFor(['ledger', tally], sequence)).toBe(true)
  }
})

test('several listeners are waited for until the slowest has come so far, with all its partitions', async () => {
  const slow = gated('slow')
  const wide = recorder('wide', { partitions: 3 })
  await using app = appOn(database, [slow, wide])
  await using gate = await Gate.close(database, gateKey)
  await app.start()
  const drafts = Array.from({ length: 9 }, (_, index) => noted({ note: `n-${index}` }))
  const published = await app.publish(drafts)
  const sequence = published.at(-1)?.sequence ?? null
  await gate.reached()
  expect(await app.waitFor(wide, sequence)).toBe(true)
  expect(await effectsOf(database, 'wide')).toHaveLength(9)
  expect(
    await app.waitFor(['wide', slow, slow], sequence, { timeout: 50, onTimeout: 'return' }),
  ).toBe(false)
  const error: unknown = await app
    .waitFor([wide, slow], sequence, { timeout: 50 })
    .catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
    details: { listener: 'slow', behind: ['slow'], sequence },
  })
  await gate.open()
  expect(await app.waitFor([wide, slow], sequence)).toBe(true)
  expect(await effectsOf(database, 'slow')).toHaveLength(9)
})

test('a process that does not run the listener polls', async () => {
  await using worker = appOn(database, [tally])
  await using web = appOn(database, [tally])
  await worker.start()
  const { sequence } = await web.publish(noted({ note: 'from the web' }))
  expect(await web.waitFor(tally, sequence)).toBe(true)
  expect(await web.read(tally)).toBe(1)
})

test('a transaction with waitFor returns when the named projections have its events', async () => {
  await using app = appOn(database, [tally, recorder('ledger')])
  await app.start()
  for (let round = 1; round <= 5; round++) {
    const { result, caughtUp, sequence } = await app.transaction(
      async (tx) => {
        tx.publish(noted({ note: `round ${round}` }))
        return round
      },
      { waitFor: [tally, 'ledger'], timeout: '10s' },
    )
    expect([result, caughtUp]).toEqual([round, true])
    expect(await app.read(tally)).toBe(round)
    expect((await effectsOf(database, 'ledger')).at(-1)).toBe(sequence)
  }
  // Nothing published, nothing to wait for.
  expect((await app.transaction(async () => {}, { waitFor: tally })).caughtUp).toBe(true)
})

test('a wait that fails after the commit says that the transaction is kept', async () => {
  const slow = gated('slow')
  await using app = appOn(database, [slow])
  await using gate = await Gate.close(database, gateKey)
  await app.start()
  const publish = (note: string, options: object) =>
    app.transaction(async (tx) => tx.publish(noted({ note })), {
      waitFor: slow,
      timeout: 50,
      ...options,
    })
  const error: unknown = await publish('one', {}).catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
    message: expect.stringMatching(
      /^TIDEMARK_WAIT_TIMEOUT: the transaction has committed, but slow \(active\) is at/u,
    ),
    details: { committed: true, listener: 'slow', sequence: 1n },
  })
  expect(await publish('two', { onTimeout: 'return' })).toMatchObject({
    caughtUp: false,
    sequence: 2n,
  })
  await expect(publish('three', { waitFor: ['slow', 'slwo'] })).rejects.toMatchObject({
    code: 'TIDEMARK_UNKNOWN_LISTENER',
    details: { committed: true, listener: 'slwo' },
  })
  await gate.open()
  expect(await publish('four', { timeout: '10s' })).toMatchObject({ caughtUp: true })
  expect(await effectsOf(database, 'slow')).toEqual([1n, 2n, 3n, 4n])
})

test('a listener that halts ends the wait for it at once; one that has passed the sequence before it halted does not', async () => {
  const listener = defineListener('ledger', { retry: { attempts: 1 } }).on(noted, (event) => {
    if (event.payload.note === 'bad') throw new Error('no')
  })
  await using app = appOn(database, [listener, tally], { logger: new LogBook() })
  const published = await app.publish([noted({ note: 'good' }), noted({ note: 'bad' })])
  await app.start()
  await expect(
    app.waitFor([tally, listener], published[1]?.sequence ?? null, { onTimeout: 'return' }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_LISTENER_HALTED', details: { listener: 'ledger' } })
  expect(await app.waitFor([tally, listener], published[0]?.sequence ?? null)).toBe(true)
})

test('inline projections and null need no waiting, and options are checked', async () => {
  const inline = defineProjection('inline', { version: 1, mode: 'inline', initial: () => 0 }).on(
    noted,
    (n) => n + 1,
  )
  await using app = appOn(database, [inline, tally])
  const { sequence } = await app.publish(noted({ note: 'one' }))
  expect(await app.waitFor(inline, sequence)).toBe(true)
  expect(await app.waitFor(tally, null)).toBe(true)
  expect(await app.waitFor([], sequence)).toBe(true)
  await expect(app.waitFor(tally, sequence, { timeOut: 5 } as object)).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
    hint: 'Did you mean "timeout"?',
  })
  await expect(
    app.transaction(async () => {}, { onTimeout: 'maybe' as 'throw' }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_INVALID_OPTION' })
  await expect(app.transaction(async () => {}, { waitfor: tally } as object)).rejects.toMatchObject(
    { hint: 'Did you mean "waitFor"?' },
  )
})

test('a wait can be given up', async () => {
  const slow = gated('slow')
  await using app = appOn(database, [slow])
  await using gate = await Gate.close(database, gateKey)
  await app.start()
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await gate.reached()
  const giveUp = new AbortController()
  const waiting = app.waitFor(slow, sequence, { timeout: '1h', signal: giveUp.signal })
  giveUp.abort(new Error('never mind'))
  await expect(waiting).rejects.toThrow('never mind')
  await gate.open()
  expect(await app.waitFor(slow, sequence)).toBe(true)
})
