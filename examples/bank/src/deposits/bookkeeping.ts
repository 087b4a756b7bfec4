import { defineListener } from 'tidemark'
import { facilityActivated } from '../credit/events.ts'
import { customerRegistered } from '../customers/events.ts'
import { accountOf, accountStream } from './account.ts'
import { accountOpened, deposited } from './events.ts'

/**
 * Opens an account for each customer and pays loans out to it. One listener for both: it sees the customer before
 * the loan, which two listeners with cursors of their own would not promise.
 */
export const bookkeeping = defineListener('deposits.bookkeeping')
  .on(customerRegistered, (event, { publish }) => {
    const { customerId } = event.payload
    const accountId = accountOf(customerId)
    publish(accountOpened({ accountId, customerId }), {
      stream: accountStream(accountId),
      expectedVersion: 'none',
    })
  })
  .on(facilityActivated, (event, { publish }) => {
    const { facilityId, customerId, amount } = event.payload
    const accountId = accountOf(customerId)
    publish(deposited({ accountId, amount, text: `Loan ${facilityId}`, kind: 'disbursal' }), {
      stream: accountStream(accountId),
    })
  })
