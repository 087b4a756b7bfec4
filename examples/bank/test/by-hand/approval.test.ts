import { useTestDatabase } from '@tidemark/testing/vitest'
import { describe, expect, test, vi } from 'vitest'
import { proposalSubmitted } from '../../src/credit/index.ts'
import { failFirst, versions, type Version } from './version.ts'

const rolledBack = new Error('rolled back')

/** Four customers ask for credit at once; some of their transactions are slow, and some roll back. */
async function business(version: Version) {
  const facilities: { id: string; status: string; version: string }[] = []
  await Promise.all(
    [1, 2, 3, 4].map(async (customer) => {
      const customerId = `customer-${customer}`
      // The second is rolled back. The fourth and the last are more than a year of income, with what is owed by then.
      const amounts = [40_000_00n, 1_000_00n, 40_000_00n, 40_000_01n, 1n, 39_999_99n, 1n]
      const statuses = ['active', '', 'active', 'declined', 'active', 'active', 'declined']
      for (const [n, amount] of amounts.entries()) {
        const status = statuses[n] ?? ''
        const facilityId = `${customer}/${n}`
        const proposal = { facilityId, customerId, amount, monthlyIncome: 10_000_00n }
        const submitted = version.transaction(async (tx) => {
          await tx.query(`INSERT INTO facilities VALUES ($1, $2, $3, 'submitted', 1)`, [
            facilityId,
            customerId,
            amount,
          ])
          const position = { stream: `facility-${facilityId}`, version: 1 }
          await tx.publish(proposalSubmitted(proposal), position)
          await tx.query('SELECT pg_sleep($1)', [((customer + n) % 3) / 100])
          if (status === '') throw rolledBack
        })
        const committed = await submitted.then(
          () => true,
          (error: unknown) => {
            if (error !== rolledBack) throw error
            return false
          },
        )
        if (!committed) continue
        facilities.push({ id: facilityId, status, version: status === 'active' ? '3' : '2' })
      }
    }),
  )
  const id = 'large'
  await version.transaction(async (tx) => {
    await tx.query(`INSERT INTO facilities VALUES ($1, 'rich', 6000000, 'submitted', 1)`, [id])
    const proposal = { facilityId: id, customerId: 'rich', amount: 60_000_00n }
    await tx.publish(proposalSubmitted({ ...proposal, monthlyIncome: 10_000_00n }), {
      stream: `facility-${id}`,
      version: 1,
    })
  })
  facilities.push({ id, status: 'in_review', version: '1' })
  return facilities.toSorted((a, b) => (a.id < b.id ? -1 : 1))
}

const lives: Record<string, readonly string[]> = {
  active: ['submitted', 'approved'],
  declined: ['submitted', 'declined'],
  in_review: ['submitted'],
}

describe.for(versions)('the approval process %s', ([, open]) => {
  const database = useTestDatabase()

  test('takes each step once and in order, with two workers, rollbacks and failures', async () => {
    await using version = await open(database, 'approval')
    await failFirst(database, 'facilities', 2)
    const expected = await business(version)
    await vi.waitFor(async () => {
      const { rows } = await database.query(
        'SELECT id, status, version FROM facilities ORDER BY id COLLATE "C"',
      )
      expect(rows).toEqual(expected)
    }, 40_000)

    const events = await version.events()
    for (const { id, status } of expected) {
      const types = (lives[status] ?? []).map((step) => `credit.proposal_${step}`)
      if (status === 'active') types.push('credit.facility_activated')
      const stream = `facility-${id}`
      expect(events.filter((event) => event.startsWith(`${stream} `))).toEqual(
        types.map((type, n) => `${stream} ${n + 1} ${type}`),
      )
    }
  })
})
