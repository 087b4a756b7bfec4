import { setTimeout as delay } from 'node:timers/promises'
import { useTestDatabase } from '@tidemark/testing/vitest'
import type { EventDraft } from 'tidemark'
import { describe, expect, test, vi } from 'vitest'
import { facilityActivated, proposalDeclined, proposalSubmitted } from '../../src/credit/index.ts'
import type { Dashboard } from '../../src/dashboard/index.ts'
import { versions, type Version } from './version.ts'

const rolledBack = new Error('rolled back')

/** Publishes in a transaction that is slow, and perhaps rolled back. */
function publish(version: Version, draft: EventDraft, seconds: number, fail: boolean) {
  return version.transaction(async (tx) => {
    await tx.publish(draft)
    await tx.query('SELECT pg_sleep($1)', [seconds])
    if (fail) throw rolledBack
  })
}

/** Proposals, of which every other is declined or activated; some transactions are slow, and some roll back. */
async function business(lending: Version): Promise<Dashboard> {
  const expected = { pending: 0, declined: 0, active: 0, disbursed: 0n }
  const publishers = Array.from({ length: 4 }, async (_, publisher) => {
    for (let n = 0; n < 15; n++) {
      const facility = {
        facilityId: `${publisher}/${n}`,
        customerId: 'ada',
        amount: BigInt(publisher * 100 + n + 1),
      }
      const seconds = ((publisher + n) % 3) / 500
      const fail = (publisher + n) % 5 === 0
      const submitted = await publish(
        lending,
        proposalSubmitted({ ...facility, monthlyIncome: 1n }),
        seconds,
        fail,
      )
        .then(() => true)
        .catch((error: unknown) => {
          if (error !== rolledBack) throw error
          return false
        })
      if (!submitted) continue
      expected.pending += 1
      if (n % 2 === 0) continue
      expected.pending -= 1
      if (n % 4 === 1) {
        await publish(lending, proposalDeclined({ ...facility, reason: 'no' }), seconds, false)
        expected.declined += 1
      } else {
        const activatedAt = new Date(0)
        await publish(lending, facilityActivated({ ...facility, activatedAt }), seconds, false)
        expected.active += 1
        expected.disbursed += facility.amount
      }
    }
  })
  await Promise.all(publishers)
  // One that has begun long before others commit: whoever reads on behind those misses it.
  const late = { facilityId: 'late', customerId: 'ada', amount: 1n, monthlyIncome: 1n }
  const slow = publish(lending, proposalSubmitted(late), 1, false)
  await delay(100)
  await publish(lending, proposalSubmitted({ ...late, facilityId: 'quick' }), 0, false)
  await slow
  expected.pending += 2
  return expected
}

describe.for(versions)('the dashboard %s', ([, open]) => {
  const database = useTestDatabase()

  test('counts every committed event once, with two workers, late commits and rollbacks', async () => {
    await using lending = await open(database, 'dashboard')
    const expected = await business(lending)
    await vi.waitFor(async () => expect(await lending.readDashboard()).toEqual(expected), 20_000)
  })
})
