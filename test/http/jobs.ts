import { defineJob } from 'tidemark'
import { z } from 'zod'

export const sendEmail = defineJob('send_email', {
  description: 'Hands a letter to the mail server.',
  input: z.object({ to: z.email(), cents: z.bigint().default(0n), on: z.date().optional() }),
  output: z.object({ messageId: z.string(), cents: z.bigint() }),
  run: async (job, ctx) => {
    ctx.log.info({ to: job.input.to }, 'delivering')
    const messageId = await ctx.step('deliver', () => `to ${job.input.to}`)
    return { messageId, cents: job.input.cents }
  },
})

interface Folder {
  readonly name: string
  readonly folders?: readonly Folder[] | undefined
}

const folder: z.ZodType<Folder> = z.object({
  name: z.string(),
  get folders() {
    return z.array(folder).optional()
  },
})

/** Its schema refers to itself. */
export const indexFolder = defineJob('files.index', { input: folder, run: () => {} })

/** It never succeeds. */
export const breakDown = defineJob('break_down', {
  input: z.object({}),
  retry: { attempts: 1 },
  run: () => {
    throw new Error('the mail server is on fire')
  },
})
