import { defineProjection } from 'tidemark'
import { orderPlaced } from './order-placed.ts'

/** How many orders there were, and of how much: a definition that needs nothing of Nest stays a value. */
export const turnover = defineProjection('turnover', {
  version: 1,
  initial: () => ({ orders: 0, cents: 0n }),
}).on(orderPlaced, (state, { payload }) => ({
  orders: state.orders + 1,
  cents: state.cents + payload.cents,
}))
