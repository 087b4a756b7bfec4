import { defineListener } from 'tidemark'
import { flightArrived, voucherIssued } from './events.ts'

/** Minutes of delay above which passengers are compensated. */
const compensatedAfter = 180

/**
 * Issues a voucher for each flight that is more than three hours late. The voucher, the event that says so and
 * the listener's cursor commit together, so that a worker killed at any instant neither loses nor repeats one.
 */
export const vouchers = defineListener('vouchers').on(
  flightArrived,
  async ({ payload: { flight, delay } }, { db, publish }) => {
    if (delay <= compensatedAfter) return
    const dollars = 50 * Math.ceil(delay / 60)
    await db.insertInto('vouchers').values({ flight, dollars }).execute()
    publish(voucherIssued({ flight, dollars }))
  },
)
