import { defineProjection } from 'tidemark'
import { facilityActivated, proposalDeclined, proposalSubmitted } from '../credit/events.ts'

/** The bank's lending at a glance. */
export interface Dashboard {
  /** Proposals that are not decided yet. */
  readonly pending: number
  readonly declined: number
  readonly active: number
  /** All that was ever lent, in cents. */
  readonly disbursed: bigint
}

const nothing: Dashboard = { pending: 0, declined: 0, active: 0, disbursed: 0n }

/** Kept beside its cursor: no table, and no way for the two to differ. */
export const dashboard = defineProjection('dashboard', { version: 1, initial: () => nothing })
  .on(proposalSubmitted, (state) => ({ ...state, pending: state.pending + 1 }))
  .on(proposalDeclined, (state) => ({
    ...state,
    pending: state.pending - 1,
    declined: state.declined + 1,
  }))
  .on(facilityActivated, (state, event) => ({
    ...state,
    pending: state.pending - 1,
    active: state.active + 1,
    disbursed: state.disbursed + event.payload.amount,
  }))
