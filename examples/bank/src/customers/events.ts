import { defineEvent } from 'tidemark'
import { z } from 'zod'

export const customerRegistered = defineEvent('customers.registered', {
  description: 'A person has become a customer.',
  version: 2,
  payload: z.object({
    customerId: z.string().min(1),
    name: z.object({ given: z.string(), family: z.string() }),
    email: z.email(),
  }),
  upcast: {
    // Version 1 had the name in one field. Its events stay as they are; whoever reads one gets version 2.
    1: ({ name, ...rest }: { customerId: string; name: string; email: string }) => {
      const [given = '', ...family] = name.split(' ')
      return { ...rest, name: { given, family: family.join(' ') } }
    },
  },
})
