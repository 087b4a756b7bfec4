import type { CreditTables } from './credit/tables.ts'
import type { CustomersTables } from './customers/tables.ts'
import type { DepositsTables } from './deposits/tables.ts'
import type { NotificationsTables } from './notifications/tables.ts'

/** All tables of the bank. */
export interface BankTables
  extends CustomersTables, CreditTables, DepositsTables, NotificationsTables {}
