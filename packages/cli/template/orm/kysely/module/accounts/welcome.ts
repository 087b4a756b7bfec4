import { defineListener } from 'tidemark'
import { accountOpened } from './events.ts'
import { sendWelcome } from './send-welcome.ts'

/** Writes a letter down and spawns the job that sends it, in the transaction that moves the cursor: each once. */
export const welcome = defineListener('accounts.welcome', { startFrom: 'beginning' }).on(
  accountOpened,
  async (event, { db, spawn }) => {
    const { accountId, email } = event.payload
    const letter = { event_id: event.id, account_id: accountId, text: 'Welcome' }
    await db.insertInto('letters').values(letter).execute()
    await spawn(sendWelcome, { email })
  },
)
