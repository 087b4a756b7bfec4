import { defineJob } from 'tidemark'
import { z } from 'zod'
import { customerRegistered } from './events.ts'
import { cardPress, identityOffice } from './offices.ts'

/**
 * Opens an account, in steps: each is done once, whatever dies between two of them. What happens in the database
 * happens in the commit that says so; what happens outside is told by the customer's id from what was asked before.
 */
export const openAccount = defineJob('customers.open_account', {
  description: 'Checks who somebody is, registers them and has a card made.',
  input: z.object({
    customerId: z.string().min(1),
    name: z.object({ given: z.string(), family: z.string() }),
    email: z.email(),
  }),
  output: z.object({ proof: z.string(), card: z.string() }),
  uniqueKey: ({ customerId }) => `open account ${customerId}`,
  run: async ({ input: { customerId, name, email } }, ctx) => {
    ctx.log.info({ customerId }, 'the account is being opened')
    const proof = await ctx.step('identity', () => identityOffice.check(customerId, name))
    ctx.log.info({ proof }, 'the identity is known')
    await ctx.transaction(
      async (tx) => {
        await tx.db
          .insertInto('customers')
          .values({ id: customerId, name: `${name.given} ${name.family}`, email })
          .execute()
        tx.publish(customerRegistered({ customerId, name, email }), {
          stream: `customer-${customerId}`,
          expectedVersion: 'none',
        })
      },
      { step: 'register' },
    )
    ctx.log.info({ customerId }, 'the customer is registered')
    const card = await ctx.step('card', () => cardPress.order(customerId))
    ctx.log.info({ card }, 'the card is ordered')
    return { proof, card }
  },
})
