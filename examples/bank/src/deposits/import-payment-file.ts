import { defineJob } from 'tidemark'
import { z } from 'zod'
import { accountStream } from './account.ts'
import { deposited } from './events.ts'

const atOnce = 10

/**
 * Books a payment file of any length. It says how far it is, and can be paused, resumed and cut off anywhere: the line
 * that comes next is stored in the commit that books those before it.
 */
export const importPaymentFile = defineJob('deposits.import_payment_file', {
  description: 'Books the payments of a file.',
  input: z.object({
    file: z.string(),
    payments: z.array(
      z.object({ accountId: z.string(), amount: z.bigint().positive(), text: z.string() }),
    ),
  }),
  output: z.object({ booked: z.number() }),
  state: z.object({ next: z.number() }).default({ next: 0 }),
  uniqueKey: ({ file }) => `payments ${file}`,
  run: async ({ input: { payments } }, ctx) => {
    while (ctx.state.next < payments.length) {
      // Where a pause, a cancellation or a deploy stops it.
      await ctx.checkInterrupt()
      const { next } = ctx.state
      await ctx.transaction(async (tx) => {
        for (const { accountId, amount, text } of payments.slice(next, next + atOnce)) {
          tx.publish(deposited({ accountId, amount, text, kind: 'payment' }), {
            stream: accountStream(accountId),
          })
        }
        await ctx.checkpoint({ next: Math.min(next + atOnce, payments.length) }, { tx })
      })
      ctx.progress(ctx.state.next / payments.length)
    }
    return { booked: payments.length }
  },
})
