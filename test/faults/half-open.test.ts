import { expect, test } from 'vitest'
import { committedEvents, effectsOf, noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { appOn } from '../support/test-app.ts'
import { WorkerProcess } from '../support/worker-process.ts'

const database = useFreshDatabase()

test('an owner whose connections are all half-open, in the middle of a transaction, is replaced', async () => {
  await using proxy = await TcpProxy.open(database.url)
  await using app = appOn(database, [noted])
  const leaseDuration = 1_000
  await using cut = await WorkerProcess.start({ url: proxy.url, name: 'cut off', leaseDuration })
  await app.publish(noted({ note: 'wait' }))
  await cut.reported('entered', 'wait')
  expect(proxy.freezeAll()).toBeGreaterThan(2)

  await using second = await WorkerProcess.start({
    url: database.url,
    name: 'second',
    leaseDuration,
  })
  await second.reported('entered', 'wait')
  second.release()
  cut.release()
  const { sequence } = await app.publish(noted({ note: 'after' }))
  await app.waitFor('ledger', sequence, { timeout: '15s' })
  await app.waitFor('tally', sequence, { timeout: '15s' })
  expect(await effectsOf(database, 'ledger')).toEqual(await committedEvents(database))
  const { rows } = await database.query<{ process: string }>('select distinct process from effects')
  expect(rows).toEqual([{ process: 'second' }])
})
