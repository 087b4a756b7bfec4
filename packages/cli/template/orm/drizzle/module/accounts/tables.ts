import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { pgTable, text } from 'drizzle-orm/pg-core'

/** The tables of this application. */
export const accounts = pgTable('accounts', {
  id: text().primaryKey(),
  email: text().notNull(),
  status: text({ enum: ['open', 'closed'] }).notNull(),
})

export const letters = pgTable('letters', {
  eventId: text('event_id').primaryKey(),
  accountId: text('account_id').notNull(),
  text: text().notNull(),
})

export const schema = { accounts, letters }

// What `db` is in transactions and handlers.
declare module 'tidemark' {
  interface Register {
    db: NodePgDatabase<typeof schema>
  }
}
