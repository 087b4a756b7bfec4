import type { Knex } from 'knex'

/** The tables of this application. */
interface Account {
  id: string
  email: string
  status: 'open' | 'closed'
}

interface Letter {
  event_id: string
  account_id: string
  text: string
}

declare module 'knex/types/tables.js' {
  interface Tables {
    accounts: Account
    letters: Letter
  }
}

// What `db` is in transactions and handlers.
declare module 'tidemark' {
  interface Register {
    db: Knex
  }
}
