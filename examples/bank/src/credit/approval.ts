import { defineListener, type Db } from 'tidemark'
import { assess } from './assess.ts'
import {
  facilityActivated,
  proposalApproved,
  proposalDeclined,
  proposalSubmitted,
} from './events.ts'

/** The process from proposal to loan: each step's row, its event and the cursor commit together. */
export const approval = defineListener('credit.approval')
  .on(proposalSubmitted, async (event, { db, publish }) => {
    const { monthlyIncome, ...facility } = event.payload
    const exposure = await exposureOf(db, facility.customerId)
    const verdict = assess({ amount: facility.amount, monthlyIncome, exposure })
    const stream = `facility-${facility.facilityId}`
    switch (verdict.outcome) {
      case 'approve':
        await setStatus(db, facility.facilityId, 'approved', 2n)
        publish(proposalApproved({ ...facility, approvedBy: 'rules' }), {
          stream,
          expectedVersion: 1,
        })
        break
      case 'decline':
        await setStatus(db, facility.facilityId, 'declined', 2n)
        publish(proposalDeclined({ ...facility, reason: verdict.reason }), {
          stream,
          expectedVersion: 1,
        })
        break
      case 'review':
        // Nothing happens until somebody calls decideProposal().
        await setStatus(db, facility.facilityId, 'in_review', 1n)
        break
    }
  })
  .on(proposalApproved, async (event, { db, publish }) => {
    const { approvedBy: _, ...facility } = event.payload
    await setStatus(db, facility.facilityId, 'active', 3n)
    publish(facilityActivated({ ...facility, activatedAt: new Date() }), {
      stream: `facility-${facility.facilityId}`,
      expectedVersion: 2,
    })
  })

async function exposureOf(db: Db, customerId: string): Promise<bigint> {
  const { exposure } = await db
    .selectFrom('facilities')
    .select((eb) => eb.fn.sum<string | null>('amount').as('exposure'))
    .where('customer_id', '=', customerId)
    .where('status', 'in', ['approved', 'active'])
    .executeTakeFirstOrThrow()
  return BigInt(exposure ?? 0)
}

async function setStatus(
  db: Db,
  facilityId: string,
  status: 'in_review' | 'approved' | 'declined' | 'active',
  version: bigint,
): Promise<void> {
  await db
    .updateTable('facilities')
    .set({ status, version })
    .where('id', '=', facilityId)
    .executeTakeFirstOrThrow()
}
