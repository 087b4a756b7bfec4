/** The tables of this application, as `db` sees them in transactions and handlers. */
export interface Tables {
  accounts: { id: string; email: string; status: 'open' | 'closed' }
  letters: { event_id: string; account_id: string; text: string }
}

declare module 'tidemark' {
  interface Register {
    database: Tables
  }
}
