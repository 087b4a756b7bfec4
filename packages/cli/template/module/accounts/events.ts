import { defineEvent } from 'tidemark'
import { z } from 'zod'

export const accountOpened = defineEvent('accounts.account_opened', {
  payload: z.object({ accountId: z.string(), email: z.email() }),
})

export const accountClosed = defineEvent('accounts.account_closed', {
  payload: z.object({ accountId: z.string() }),
})
