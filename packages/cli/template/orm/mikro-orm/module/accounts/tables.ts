import { defineEntity, p, type EntityManager } from '@mikro-orm/postgresql'

/** The tables of this application. */
export const Account = defineEntity({
  name: 'Account',
  tableName: 'accounts',
  properties: { id: p.text().primary(), email: p.text(), status: p.text() },
})

export const Letter = defineEntity({
  name: 'Letter',
  tableName: 'letters',
  properties: {
    eventId: p.text().primary().name('event_id'),
    accountId: p.text().name('account_id'),
    text: p.text(),
  },
})

// What `db` is in transactions and handlers.
declare module 'tidemark' {
  interface Register {
    db: EntityManager
  }
}
