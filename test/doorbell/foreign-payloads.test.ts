import fc from 'fast-check'
import { expect, test } from 'vitest'
import { channelOf } from '../../packages/core/src/database/schema.ts'
import { asleep } from '../support/doorbells.ts'
import { effectsOf, noted, recorder } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { badInputs, nastyText } from '../support/nasty.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const payload = fc.oneof(
  nastyText,
  fc.constantFrom(
    'ping',
    'ping ',
    'ping 00000000-0000-0000-0000-000000000000',
    'pong',
    'x'.repeat(7_999),
  ),
)

test('whatever anybody sends on the channel, the process hears, and handles each event once', async () => {
  await using app = appOn(database, [recorder('ledger')])
  await app.start({ doorbell: { safetyPoll: 600_000, pingInterval: 50 } })
  await asleep(database)
  let published = 0
  await fc.assert(
    fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 20 }), async (texts) => {
      for (const text of texts) {
        const storable = text.replaceAll('\0', '').toWellFormed()
        await database.query('select pg_notify($1, left($2, 7000))', [
          channelOf(database.schema),
          storable,
        ])
      }
      const { sequence } = await app.publish(noted({ note: 'rung' }))
      published += 1
      await app.waitFor('ledger', sequence, { timeout: '20s' })
    }),
    { numRuns: badInputs(20) },
  )
  expect(await effectsOf(database, 'ledger')).toHaveLength(published)
}, 120_000)
