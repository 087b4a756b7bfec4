export { approval } from './approval.ts'
export { decideProposal, type Decision } from './decide-proposal.ts'
export {
  facilityActivated,
  proposalApproved,
  proposalDeclined,
  proposalSubmitted,
} from './events.ts'
export { submitProposal, type Proposal } from './submit-proposal.ts'
