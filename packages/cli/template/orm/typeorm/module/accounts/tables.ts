import { EntitySchema, type EntityManager } from 'typeorm'

/** The tables of this application. */
export const Account = new EntitySchema<{ id: string; email: string; status: 'open' | 'closed' }>({
  name: 'Account',
  tableName: 'accounts',
  columns: {
    id: { type: String, primary: true },
    email: { type: String },
    status: { type: String },
  },
})

export const Letter = new EntitySchema<{ eventId: string; accountId: string; text: string }>({
  name: 'Letter',
  tableName: 'letters',
  columns: {
    eventId: { name: 'event_id', type: String, primary: true },
    accountId: { name: 'account_id', type: String },
    text: { type: String },
  },
})

// What `db` is in transactions and handlers.
declare module 'tidemark' {
  interface Register {
    db: EntityManager
  }
}
