import type { Int8 } from '../int8.ts'

/** The tables of this module; no other module reads or writes them. */
export interface DepositsTables {
  accounts: { id: string; customer_id: string; balance: Int8; version: Int8 }
  statements: {
    account_id: string
    month: string
    entries: number
    paid_in: Int8
    paid_out: Int8
  }
  sent_statements: { account_id: string; day: string; balance: Int8 }
}
