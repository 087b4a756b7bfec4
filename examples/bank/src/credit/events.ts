import { defineEvent } from 'tidemark'
import { z } from 'zod'

// A facility begins as a proposal; all of its events are in the stream `facility-<id>`.
const facility = z.object({
  facilityId: z.string().min(1),
  customerId: z.string().min(1),
  /** In cents. */
  amount: z.bigint().positive(),
})

export const proposalSubmitted = defineEvent('credit.proposal_submitted', {
  description: 'A customer asks for credit.',
  payload: facility.extend({ monthlyIncome: z.bigint() }),
})

export const proposalApproved = defineEvent('credit.proposal_approved', {
  description: 'The bank will lend the money.',
  payload: facility.extend({ approvedBy: z.string() }),
})

export const proposalDeclined = defineEvent('credit.proposal_declined', {
  description: 'The bank will not lend the money.',
  payload: facility.extend({ reason: z.string() }),
})

export const facilityActivated = defineEvent('credit.facility_activated', {
  description: 'The loan runs from now on, and its amount is paid out.',
  payload: facility.extend({ activatedAt: z.date() }),
})
