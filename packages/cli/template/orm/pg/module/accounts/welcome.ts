import { defineListener } from 'tidemark'
import { accountOpened } from './events.ts'
import { sendWelcome } from './send-welcome.ts'

/** Writes a letter down and spawns the job that sends it, in the transaction that moves the cursor: each once. */
export const welcome = defineListener('accounts.welcome', { startFrom: 'beginning' }).on(
  accountOpened,
  async (event, { tx, spawn }) => {
    const { accountId, email } = event.payload
    const text = `insert into letters (event_id, account_id, text) values ($1, $2, 'Welcome')`
    await tx.query(text, [event.id, accountId])
    await spawn(sendWelcome, { email })
  },
)
