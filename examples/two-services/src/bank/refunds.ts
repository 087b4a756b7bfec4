import { defineListener } from 'tidemark'
import { transferRefused } from './events.ts'

/** What the ledger refuses goes back to its account. */
export const refunds = defineListener('refunds').on(
  transferRefused,
  async ({ payload: { transfer, account, amount } }, { tx }) => {
    await tx.query('UPDATE accounts SET balance = balance + $2::bigint WHERE id = $1::text', [
      account,
      amount,
    ])
    await tx.query('INSERT INTO refunds (transfer, amount) VALUES ($1::integer, $2::bigint)', [
      transfer,
      amount,
    ])
  },
)
