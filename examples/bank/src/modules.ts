import * as credit from './credit/index.ts'
import * as customers from './customers/index.ts'
import * as dashboard from './dashboard/index.ts'
import type { BankTables } from './database.ts'
import * as deposits from './deposits/index.ts'
import * as notifications from './notifications/index.ts'

// Once per project: `db` knows these tables in every handler, and `tx.db` in every transaction.
declare module 'tidemark' {
  interface Register {
    database: BankTables
  }
}

/** The modules of the bank: what they export and Tidemark knows (events, listeners, projections) is the application. */
export const modules = [customers, credit, deposits, notifications, dashboard]
