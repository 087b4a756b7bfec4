import type { App } from 'tidemark'
import { accountOpened } from './events.ts'

/** Opens an account: the row and the event commit together, or neither does. */
export function openAccount(app: App, accountId: string, email: string) {
  return app.transaction(async (tx) => {
    await tx.db('accounts').insert({ id: accountId, email, status: 'open' })
    tx.publish(accountOpened({ accountId, email }), {
      stream: `account-${accountId}`,
      expectedVersion: 'none',
    })
  })
}
