import { defineEvent, defineListener, toEventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, notesOf, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

test('a listener that starts now handles what is published after its first start, and goes on there', async () => {
  const listener = recorder('ledger', { startFrom: 'now' })
  await using app = appOn(database, [listener, recorder('everything')])
  await app.publish(noted({ note: 'history' }))
  const runner = await app.start()
  const first = await app.publish(noted({ note: 'first' }))
  await app.waitFor('ledger', first.sequence)
  await runner.stop()
  await app.publish(noted({ note: 'while it was down' }))
  await app.start()
  const last = await app.publish(noted({ note: 'last' }))
  await app.waitFor('ledger', last.sequence)
  await app.waitFor('everything', last.sequence)
  expect(await notesOf(database, 'ledger')).toEqual(['first', 'while it was down', 'last'])
  expect(await notesOf(database, 'everything')).toHaveLength(4)
})

test('a listener that starts now does not skip a publisher that was open when it started', async () => {
  await using late = await SqlPublisher.open(database)
  await late.begin('open at the start')
  await using app = appOn(database, [recorder('ledger', { startFrom: 'now' })])
  await app.publish(noted({ note: 'committed before the start, above the open one' }))
  await app.start()
  await late.commit()
  const last = await app.publish(noted({ note: 'last' }))
  await app.waitFor('ledger', last.sequence)
  expect(await notesOf(database, 'ledger')).toContain('open at the start')
  expect(await notesOf(database, 'ledger')).toContain('last')
})

test('what a handler publishes carries its event as the cause, and commits with its effects', async () => {
  const answered = defineEvent('test.answered', { payload: z.object({ to: z.string() }) })
  let fail = true
  const answering = defineListener('answering', { retry: { backoff: () => 5 } }).on(
    noted,
    async (event, { publish }) => {
      publish(answered({ to: event.payload.note }))
      if (fail) {
        fail = false
        throw new Error('after publishing')
      }
    },
  )
  const seen: unknown[] = []
  const reading = defineListener('reading').on(answered, async (event) => {
    seen.push({ causation: event.causationId, correlation: event.correlationId })
  })
  await using app = appOn(database, [answering, reading])
  await app.start()
  const one = await app.publish(noted({ note: 'no correlation of its own' }))
  await app.waitFor('answering', one.sequence)
  const two = await app.publish(noted({ note: 'correlated' }), { correlationId: 'request-7' })
  await app.waitFor('answering', two.sequence)
  const { rows } = await database.query<{ sequence: string }>(
    `select max(sequence) as sequence from tidemark.events`,
  )
  await app.waitFor('reading', toEventSequence(rows[0]?.sequence ?? 0))

  expect(seen).toEqual([
    { causation: one.id, correlation: one.id },
    { causation: two.id, correlation: 'request-7' },
  ])
})

test('events of other types move the cursor, lazily and without a transaction of their own', async () => {
  const other = defineEvent('test.other', { payload: z.object({}) })
  await using app = appOn(database, [recorder('ledger'), other])
  await app.start()
  const { sequence } = await app.publish(other({}))
  await app.waitFor('ledger', sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([])
})

test('waiting for a listener that nobody runs times out and says how far it is', async () => {
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  await runner.stop()
  const { sequence } = await app.publish(noted({ note: 'nobody listens' }))
  await expect(app.waitFor('ledger', sequence, { timeout: 100 })).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
    details: { cursor: 0n, sequence, status: 'active' },
  })
})

test('waiting for a listener that does not exist is an error at once', async () => {
  await using app = appOn(database, [noted])
  await expect(app.waitFor('nobody', toEventSequence(1))).rejects.toMatchObject({
    code: 'TIDEMARK_UNKNOWN_LISTENER',
  })
})

test('waiting stops when its signal aborts', async () => {
  await using app = appOn(database, [recorder('ledger')])
  const runner = await app.start()
  await runner.stop()
  const abort = new AbortController()
  const waiting = app.waitFor('ledger', toEventSequence(9), { signal: abort.signal })
  abort.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
})

test('a paused listener waits, in whatever process it runs, and goes on where it was', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ acquireInterval: 50, leaseDuration: 1_000 })
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor('ledger', one.sequence)
  await app.listeners.pause('ledger')
  const two = await app.publish(noted({ note: 'two' }))
  await expect(app.waitFor('ledger', two.sequence, { timeout: 300 })).rejects.toMatchObject({
    code: 'TIDEMARK_WAIT_TIMEOUT',
    details: { status: 'paused' },
  })
  await app.listeners.resume('ledger')
  await app.waitFor('ledger', two.sequence)
  expect(await notesOf(database, 'ledger')).toEqual(['one', 'two'])
})

test('a listener that is reset handles everything again, and is told that it is a replay', async () => {
  const seen: [string, boolean][] = []
  const listener = defineListener('ledger').on(noted, async (event, { replaying }) => {
    seen.push([event.payload.note, replaying])
  })
  await using app = appOn(database, [listener])
  await app.start({ acquireInterval: 50, leaseDuration: 1_000 })
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor('ledger', one.sequence)
  await app.listeners.reset('ledger')
  const two = await app.publish(noted({ note: 'two' }))
  await app.waitFor('ledger', two.sequence)
  expect(seen).toEqual([
    ['one', false],
    ['one', true],
    ['two', false],
  ])
})
