import { defineProjection } from 'tidemark'
import { accountClosed, accountOpened } from './events.ts'

/** How many accounts there are. Its state is stored beside its cursor, in the same transaction. */
export const openAccounts = defineProjection('accounts.open_accounts', {
  version: 1,
  initial: () => ({ open: 0, everOpened: 0 }),
})
  .on(accountOpened, (state) => ({ open: state.open + 1, everOpened: state.everOpened + 1 }))
  .on(accountClosed, (state) => ({ ...state, open: state.open - 1 }))
