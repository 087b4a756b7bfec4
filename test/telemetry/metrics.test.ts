import { defineListener, defineProjection } from 'tidemark'
import { afterEach, expect, test, vi } from 'vitest'
import { noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { SqlPublisher } from '../support/sql-publisher.ts'
import { appOn } from '../support/test-app.ts'
import { Sdk } from './sdk.ts'

const database = useFreshDatabase()
const ledger = { 'messaging.consumer.group.name': 'ledger', 'tidemark.schema': 'tidemark' }

afterEach(() => {
  vi.restoreAllMocks()
})

test('published and handled events are counted, and batches measured', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [recorder('ledger')])
  await app.publish([noted({ note: 'one' }), noted({ note: 'two' })])
  const { sequence } = await app.transaction(async (tx) => tx.publish(noted({ note: 'three' })))
  await app.start()
  await app.waitFor('ledger', sequence)

  const sent = { 'messaging.destination.name': 'test.noted', 'messaging.operation.name': 'publish' }
  expect(await sdk.valueOf('messaging.client.sent.messages', sent)).toBe(3)
  expect(await sdk.valueOf('messaging.client.operation.duration')).toBe(2)
  expect(await sdk.valueOf('messaging.client.consumed.messages', ledger)).toBe(3)
  expect(await sdk.valueOf('tidemark.batch.size', ledger)).toBe(1)
  expect(await sdk.valueOf('messaging.process.duration', ledger)).toBe(1)
})

test('what is rolled back or refused is not counted as published, and its failure is measured', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [noted])
  await app.publish(noted({ note: 'one' }), { stream: 's', expectedVersion: 'none' })
  const again = app.publish(noted({ note: 'again' }), { stream: 's', expectedVersion: 'none' })
  await expect(again).rejects.toMatchObject({ code: 'TIDEMARK_STREAM_CONFLICT' })
  expect(await sdk.valueOf('messaging.client.sent.messages')).toBe(1)
  const failed = { 'error.type': 'TIDEMARK_STREAM_CONFLICT' }
  expect(await sdk.valueOf('messaging.client.operation.duration', failed)).toBe(1)
})

test('what a handler publishes is counted too', async () => {
  await using sdk = new Sdk()
  const echo = defineListener('echo').on(noted, (event, { publish }) => {
    if (event.payload.note === 'one') publish(noted({ note: 'echo' }))
  })
  await using app = appOn(database, [echo])
  const { sequence } = await app.publish(noted({ note: 'one' }))
  await app.start()
  await app.waitFor(echo, sequence)
  expect(await sdk.valueOf('messaging.client.sent.messages')).toBe(2)
})

test('lag is shown in events and in seconds, for a listener that halts as well', async () => {
  await using sdk = new Sdk()
  const stuck = defineListener('ledger', { retry: { attempts: 1 } }).on(noted, () => {
    throw new Error('no')
  })
  await using app = appOn(database, [stuck, recorder('other')], { logger: new LogBook() })
  const published = await app.publish([noted({ note: 'one' }), noted({ note: 'two' })])
  await database.query(`update tidemark.events set recorded_at = recorded_at - interval '1 hour'`)
  await app.start()
  await app.waitFor('other', published[1]?.sequence ?? null)
  await expect(app.waitFor(stuck, published[1]?.sequence ?? null)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect(await sdk.valueOf('tidemark.listener.lag', ledger)).toBe(2)
  expect(await sdk.valueOf('tidemark.listener.lag_time', ledger)).toBeGreaterThan(3599)
  expect(await sdk.valueOf('tidemark.listener.halts', ledger)).toBe(1)
  const other = { 'messaging.consumer.group.name': 'other' }
  expect(await sdk.valueOf('tidemark.listener.lag', other)).toBe(0)
  expect(await sdk.valueOf('tidemark.listener.lag_time', other)).toBe(0)
  // What the gauge says, the status says.
  const { lag, lagSeconds } = await app.listeners.get('ledger')
  expect(lag).toBe(2n)
  expect(lagSeconds).toBeGreaterThan(3599)
})

test('retries and dead letters are counted, with what they failed with', async () => {
  await using sdk = new Sdk()
  const listener = defineListener('ledger', {
    retry: { attempts: 3, backoff: () => 5 },
    onFailure: 'park-key',
  }).on(noted, (event) => {
    if (event.payload.note === 'bad') throw new RangeError('cannot stand it')
  })
  await using app = appOn(database, [listener], { logger: new LogBook() })
  await app.publish(noted({ note: 'bad' }), { key: 'k' })
  const { sequence } = await app.publish(noted({ note: 'behind it' }), { key: 'k' })
  await app.start()
  await app.waitFor(listener, sequence)
  const retries = { ...ledger, 'error.type': 'RangeError' }
  expect(await sdk.valueOf('tidemark.listener.retries', retries)).toBe(2)
  const state = 'tidemark.dead_letter.state'
  expect(await sdk.valueOf('tidemark.dead_letters', { ...ledger, [state]: 'parked' })).toBe(1)
  expect(await sdk.valueOf('tidemark.dead_letters', { ...ledger, [state]: 'waiting' })).toBe(1)
})

test('the doorbell shows one state at a time, and counts its rings', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [recorder('ledger')])
  await app.start()
  const states = ['armed', 'awake', 'polling', 'deaf']
  const shown = async (): Promise<string[]> => {
    const values = await Promise.all(
      states.map((state) =>
        sdk.valueOf('tidemark.doorbell.state', { 'tidemark.doorbell.state': state }),
      ),
    )
    expect(values.reduce<number>((sum, value) => sum + (value ?? 0), 0)).toBe(1)
    return states.filter((_, index) => values[index] === 1)
  }
  await expect.poll(shown, { timeout: 10_000 }).toEqual(['armed'])
  const before = (await sdk.valueOf('tidemark.doorbell.wake_ups')) ?? 0
  await app.publish(noted({ note: 'ring' }))
  await expect.poll(() => sdk.valueOf('tidemark.doorbell.wake_ups')).toBeGreaterThan(before)
})

test('a publisher that holds the horizon is shown by its age', async () => {
  await using sdk = new Sdk()
  await using app = appOn(database, [recorder('ledger')])
  await app.start()
  await using slow = await SqlPublisher.open(database)
  await slow.begin('slow')
  // It is seen while others publish, and while nobody does.
  await app.publish(noted({ note: 'behind it' }))
  await expect.poll(() => sdk.valueOf('tidemark.horizon.age')).toBeGreaterThan(0)
  await slow.commit()
  await expect.poll(() => sdk.valueOf('tidemark.horizon.age')).toBe(0)
})

test('a rebuild shows its progress, and when it is over a span of all of it with its switch', async () => {
  await using sdk = new Sdk()
  const gate = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  await database.query('create table notes (sequence bigint)')
  const notes = defineProjection('notes', { version: 1, tables: ['notes'] }).on(
    noted,
    async (event, { tx, replaying }) => {
      if (replaying && event.sequence === 2n) {
        held.resolve()
        await gate.promise
      }
      await tx.query('insert into notes values ($1)', [event.sequence])
    },
  )
  await using app = appOn(database, [notes])
  const published = await app.publish([noted({ note: 'one' }), noted({ note: 'two' })])
  await app.start()
  await app.waitFor(notes, published[1]?.sequence ?? null)
  const name = { 'messaging.consumer.group.name': 'notes' }
  expect(await sdk.valueOf('tidemark.rebuild.progress', name)).toBeUndefined()

  await app.rebuild(notes)
  await held.promise
  expect(await sdk.valueOf('tidemark.rebuild.progress', name)).toBe(0)
  gate.resolve()
  const rebuild = await sdk.spanNamed('rebuild notes')
  const change = await sdk.spanNamed('switch notes')
  expect(change.parentSpanContext?.spanId).toBe(rebuild.spanContext().spanId)
  expect(rebuild.attributes).toMatchObject({
    'tidemark.projection.version': 1,
    'tidemark.sequence.last': 2,
  })
  const seconds = ([whole, nanos]: readonly [number, number]): number => whole + nanos / 1e9
  expect(seconds(rebuild.duration)).toBeGreaterThan(seconds(change.duration))
  expect(await sdk.valueOf('tidemark.rebuild.duration', name)).toBe(1)
  expect(await sdk.valueOf('tidemark.rebuild.switch.duration', name)).toBe(1)
  const batches = sdk.spans.filter((span) => span.name === 'process notes')
  expect(batches.map((span) => span.attributes['tidemark.generation.live'])).toEqual([true, false])
})

test('an SDK that is registered after the runner has started is noticed', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ leaseDuration: 500 })
  await using sdk = new Sdk()
  await expect.poll(() => sdk.valueOf('tidemark.listener.lag', ledger)).toBe(0)
})
