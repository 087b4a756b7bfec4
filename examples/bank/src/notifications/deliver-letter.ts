import { defineJob } from 'tidemark'
import { z } from 'zod'
import { mailServer } from './mail-server.ts'

/** Sends a letter as an e-mail. Slow and outside of the database: so a job, spawned in the commit that writes it. */
export const deliverLetter = defineJob('notifications.deliver_letter', {
  description: 'Sends a letter as an e-mail.',
  input: z.object({ letter: z.uuid() }),
  retry: { attempts: 10 },
  timeout: '30s',
  run: async ({ input: { letter } }, ctx) => {
    const mail = await ctx.transaction((tx) =>
      tx.db
        .selectFrom('letters')
        .select(['email as to', 'subject', 'body'])
        .where('id', '=', letter)
        .executeTakeFirstOrThrow(),
    )
    // When the process dies before this step is written down, it is sent again, under the same id.
    await ctx.step('send', () => mailServer.send(letter, mail))
  },
})
