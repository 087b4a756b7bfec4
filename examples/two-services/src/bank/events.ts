import { defineEvent } from 'tidemark'
import { z } from 'zod'

/** Money has left an account of the bank. Its amount in cents. */
export const transferSent = defineEvent('bank.transfer_sent', {
  payload: z.object({
    transfer: z.number().int(),
    account: z.string(),
    payee: z.string(),
    amount: z.bigint().positive(),
  }),
})

/** What the bank knows of the ledger's event: the services share no code, only what is in the stream. */
export const transferRefused = defineEvent('ledger.transfer_refused', {
  payload: z.object({ transfer: z.number().int(), account: z.string(), amount: z.bigint() }),
})
