import { defineJob, defineSchedule } from 'tidemark'
import { z } from 'zod'

const pageSize = 100

/** Writes down what is on each account, some at a time: a worker that dies goes on with the next of them. */
export const sendStatements = defineJob('deposits.send_statements', {
  description: 'Writes the statement of a day for each account.',
  input: z.object({ day: z.iso.date() }),
  state: z.object({ after: z.string() }).default({ after: '' }),
  run: async ({ input: { day } }, ctx) => {
    for (let more = true; more;) {
      await ctx.checkInterrupt()
      await ctx.transaction(async (tx) => {
        const page = await tx.db
          .selectFrom('accounts')
          .select(['id as account_id', 'balance'])
          .where('id', '>', ctx.state.after)
          .orderBy('id')
          .limit(pageSize)
          .execute()
        const last = page.at(-1)
        more = last !== undefined
        if (last === undefined) return
        await tx.db
          .insertInto('sent_statements')
          .values(
            page.map(({ account_id, balance }) => ({ account_id, balance: BigInt(balance), day })),
          )
          .execute()
        await ctx.checkpoint({ after: last.account_id }, { tx })
      })
    }
  },
})

/** Every night at three, once in all processes; a night in which nobody was there is made up for by the last one. */
export const nightlyStatements = defineSchedule('deposits.nightly_statements', {
  cron: '0 3 * * *',
  timeZone: 'Europe/Berlin',
  job: sendStatements,
  input: (tick) => ({ day: tick.toISOString().slice(0, 10) }),
  catchUp: 'last',
})
