import type { App } from 'tidemark'
import { accountOpened } from './events.ts'

/** Opens an account: the row and the event commit together, or neither does. */
export function openAccount(app: App, accountId: string, email: string) {
  return app.transaction(async (tx) => {
    await tx.query(`insert into accounts (id, email, status) values ($1, $2, 'open')`, [
      accountId,
      email,
    ])
    tx.publish(accountOpened({ accountId, email }), {
      stream: `account-${accountId}`,
      expectedVersion: 'none',
    })
  })
}
