import { defineEvent } from 'tidemark'
import { z } from 'zod'

/** What the ledger knows of the bank's event. */
export const transferSent = defineEvent('bank.transfer_sent', {
  payload: z.object({
    transfer: z.number().int(),
    account: z.string(),
    payee: z.string(),
    amount: z.bigint(),
  }),
})

/** The payee is nobody whom the ledger knows. */
export const transferRefused = defineEvent('ledger.transfer_refused', {
  payload: z.object({ transfer: z.number().int(), account: z.string(), amount: z.bigint() }),
})
