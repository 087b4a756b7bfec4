import * as credit from './credit/index.ts'
import * as customers from './customers/index.ts'
import * as dashboard from './dashboard/index.ts'
// Nothing but types: whoever uses the modules gets a `db` that knows their tables.
import type {} from './database.ts'
import * as deposits from './deposits/index.ts'
import * as notifications from './notifications/index.ts'

/** The modules of the bank: what they export and Tidemark knows (events, listeners, projections) is the application. */
export const modules = [customers, credit, deposits, notifications, dashboard]
