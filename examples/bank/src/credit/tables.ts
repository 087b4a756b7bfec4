import type { Int8 } from '../int8.ts'

/** The tables of this module; no other module reads or writes them. */
export interface CreditTables {
  facilities: {
    id: string
    customer_id: string
    amount: Int8
    status: 'submitted' | 'in_review' | 'approved' | 'declined' | 'active'
    version: Int8
  }
}
