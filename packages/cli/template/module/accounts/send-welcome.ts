import { defineJob, exponential } from 'tidemark'
import { z } from 'zod'

/** Sends a letter. What is slow, or outside of the database, is a job: it is tried again until it is done. */
export const sendWelcome = defineJob('accounts.send_welcome', {
  input: z.object({ email: z.email() }),
  output: z.object({ text: z.string() }),
  retry: { attempts: 10, backoff: exponential('1s', '1h') },
  run: async (job, ctx) => {
    // What a step has answered is stored: the next attempt goes on after it.
    const text = await ctx.step('write', () => `Welcome, ${job.input.email}!`)
    await ctx.step('send', async () => {
      // Your mail provider comes here.
    })
    return { text }
  },
})
