import { defineEvent } from 'tidemark'
import { z } from 'zod'

export const orderPlaced = defineEvent('orders.placed', {
  payload: z.object({ id: z.uuid(), email: z.email(), cents: z.bigint() }),
})
