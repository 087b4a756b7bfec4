import { defineEvent } from 'tidemark'
import { z } from 'zod'

const entry = z.object({
  accountId: z.string().min(1),
  /** In cents. */
  amount: z.bigint().positive(),
  text: z.string(),
})

export const accountOpened = defineEvent('deposits.account_opened', {
  description: 'A customer has an account.',
  payload: z.object({ accountId: z.string().min(1), customerId: z.string().min(1) }),
})

export const deposited = defineEvent('deposits.deposited', {
  description: 'Money has come in.',
  payload: entry.extend({ kind: z.enum(['payment', 'disbursal']) }),
})

export const withdrawn = defineEvent('deposits.withdrawn', {
  description: 'Money has gone out.',
  payload: entry,
})
