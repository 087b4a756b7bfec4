import type { App } from 'tidemark'
import { proposalSubmitted } from './events.ts'

/** What a customer asks for. Amounts in cents. */
export interface Proposal {
  readonly facilityId: string
  readonly customerId: string
  readonly amount: bigint
  readonly monthlyIncome: bigint
}

/** Takes a proposal in. What becomes of it is decided by the listener `credit.approval`. */
export function submitProposal(tidemark: App, proposal: Proposal) {
  const { facilityId, customerId, amount } = proposal
  return tidemark.transaction(async (tx) => {
    await tx.db
      .insertInto('facilities')
      .values({
        id: facilityId,
        customer_id: customerId,
        amount,
        status: 'submitted',
        version: 1n,
      })
      .execute()
    tx.publish(proposalSubmitted(proposal), {
      stream: `facility-${facilityId}`,
      expectedVersion: 'none',
    })
  })
}
