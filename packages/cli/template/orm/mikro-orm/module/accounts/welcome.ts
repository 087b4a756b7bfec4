import { defineListener } from 'tidemark'
import { accountOpened } from './events.ts'
import { sendWelcome } from './send-welcome.ts'
import { Letter } from './tables.ts'

/** Writes a letter down and spawns the job that sends it, in the transaction that moves the cursor: each once. */
export const welcome = defineListener('accounts.welcome', { startFrom: 'beginning' }).on(
  accountOpened,
  async (event, { db, spawn }) => {
    const { accountId, email } = event.payload
    await db.insert(Letter, { eventId: event.id, accountId, text: 'Welcome' })
    await spawn(sendWelcome, { email })
  },
)
