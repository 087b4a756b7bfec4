import { defineEvent, defineListener } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, noted, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const renamed = defineEvent('test.later', { payload: z.object({ note: z.string() }) })

test('an event type that new code adds to a listener is not passed by while old code still runs', async () => {
  const before = defineListener('ledger').on(noted, (event, { tx }) =>
    recordEffect(tx, 'ledger', event),
  )
  const after = before.on(renamed, (event, { tx }) => recordEffect(tx, 'ledger', event))
  await using old = appOn(database, [before])
  const first = await old.start({ handleSignals: false, acquireInterval: 50 })
  await expect.poll(() => first.partitions).toEqual(['ledger#0'])

  await using young = appOn(database, [after])
  const second = await young.start({ handleSignals: false, acquireInterval: 50 })
  await expect.poll(() => second.partitions, { timeout: 20_000 }).toEqual(['ledger#0'])
  const { sequence } = await young.publish(renamed({ note: 'new' }))
  await young.waitFor(after, sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([sequence])
  // The old code does not get it back, and does not keep it from running.
  expect(first.partitions).toEqual([])
})
