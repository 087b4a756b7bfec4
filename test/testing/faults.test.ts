import { drain, faults, waitForIdle } from '@tidemark/testing'
import { defineProjection } from 'tidemark'
import { expect, test } from 'vitest'
import { armedProcesses, asleep } from '../support/doorbells.ts'
import { committedEvents, effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 50 }

test('a crash between effect and commit: nothing of that attempt is kept, and every event takes effect once', async () => {
  const listener = recorder('ledger')
  const count = defineProjection('count', { version: 1, initial: () => 0 }).on(noted, (n) => n + 1)
  await using app = appOn(database, [listener, count])
  await using crash = await faults(database).crashBeforeCommit('ledger', { times: 2 })
  await using other = await faults(database).crashBeforeCommit('count')
  await app.publish(['a', 'b', 'c'].map((note) => noted({ note })))
  await drain(app)
  expect(await crash.hits()).toBeGreaterThan(2)
  expect(await other.hits()).toBeGreaterThan(1)
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  expect(await app.read(count)).toBe(3)
})

test('commits of publishers that are held: nothing is visible, later events wait behind them, and the order is kept', async () => {
  const listener = recorder('ledger')
  await using app = appOn(database, [listener])
  await using _ = await app.start(runner)
  let early: Promise<unknown>
  {
    await using held = await faults(database).holdCommits('publishers')
    early = app.publish(noted({ note: 'early' }))
    await held.reached()
    expect(await committedEvents(database)).toEqual([])
    expect(await effectsOf(database, 'ledger')).toEqual([])
    await held.release()
    await early
  }
  const late = await app.publish(noted({ note: 'late' }))
  await app.waitFor(listener, late.sequence)
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
})

test('a commit of a listener that is held: its effects are not visible until it is released', async () => {
  const listener = recorder('ledger')
  await using app = appOn(database, [listener])
  await using held = await faults(database).holdCommits({ listener: 'ledger' })
  await using _ = await app.start(runner)
  const { sequence } = await app.publish(noted({ note: 'slow' }))
  await held.reached()
  expect(await effectsOf(database, 'ledger')).toEqual([])
  await held.release()
  await app.waitFor(listener, sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([sequence])
})

test('a usurped owner commits nothing more, and the listener goes on when its lease is free', async () => {
  const listener = recorder('ledger')
  const log = new LogBook()
  await using app = appOn(database, [listener], { logger: log })
  // Its heartbeat is 40 s away: only the fence can tell it that it was usurped.
  const unaware = await app.start({ ...runner, acquireInterval: 60_000, leaseDuration: 120_000 })
  const one = await app.publish(noted({ note: 'one' }))
  await app.waitFor(listener, one.sequence)
  expect(await faults(database).usurp('ledger', 300)).toBe(1)
  const { sequence } = await app.publish(noted({ note: 'two' }))
  await log.wrote(/ledger is run by another process now/)
  expect(await effectsOf(database, 'ledger')).toEqual([one.sequence])
  await unaware.stop()
  await using _ = await app.start({ ...runner, leaseDuration: 2_000 })
  await app.waitFor(listener, sequence, { timeout: '15s' })
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
})

test('a doorbell that is lost delays, and loses nothing', async () => {
  const listener = recorder('ledger')
  await using app = appOn(database, [listener])
  await app.start(runner)
  await asleep(database)
  {
    await using _ = await faults(database).muteDoorbell()
    expect(await armedProcesses(database)).toEqual([])
    const { sequence } = await app.publish(noted({ note: 'unheard' }))
    // The safety poll finds it.
    await app.waitFor(listener, sequence, { timeout: '5s' })
    await waitForIdle(app)
    expect(await armedProcesses(database)).toEqual([])
  }
  await asleep(database)
})
