import type { App } from 'tidemark'
import { BankError } from '../bank-error.ts'
import { retryOnConflict } from '../retry-on-conflict.ts'
import { proposalApproved, proposalDeclined } from './events.ts'

/** What a credit officer decides about a proposal that the rules leave to people. */
export interface Decision {
  readonly facilityId: string
  readonly officer: string
  readonly approve: boolean
}

/**
 * Decides a proposal. Of two officers who decide at the same moment one is first; the other reads again, and
 * finds that there is nothing left to decide.
 *
 * @throws BankError when the proposal does not wait for a decision.
 */
export function decideProposal(tidemark: App, { facilityId, officer, approve }: Decision) {
  return retryOnConflict(() =>
    tidemark.transaction(async (tx) => {
      const row = await tx.db
        .selectFrom('facilities')
        .selectAll()
        .where('id', '=', facilityId)
        .executeTakeFirst()
      if (row?.status !== 'in_review') {
        throw new BankError(
          `${facilityId} does not wait for a decision (${row?.status ?? 'unknown'})`,
        )
      }
      const expectedVersion = BigInt(row.version)
      await tx.db
        .updateTable('facilities')
        .set({ status: approve ? 'approved' : 'declined', version: expectedVersion + 1n })
        .where('id', '=', facilityId)
        .execute()
      const facility = { facilityId, customerId: row.customer_id, amount: BigInt(row.amount) }
      tx.publish(
        approve
          ? proposalApproved({ ...facility, approvedBy: officer })
          : proposalDeclined({ ...facility, reason: `${officer} has looked at it and said no` }),
        { stream: `facility-${facilityId}`, expectedVersion },
      )
    }),
  )
}
