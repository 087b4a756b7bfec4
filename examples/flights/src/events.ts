import { defineEvent } from 'tidemark'
import { z } from 'zod'

const flight = z.int().positive()

/** A flight has reached its gate. */
export const flightArrived = defineEvent('flight.arrived', {
  description: 'A flight has reached its gate',
  payload: z.object({
    flight,
    // The clock of the origin, as the records have it: without a time zone it is not a point in time.
    departed: z.iso.datetime({ local: true, precision: -1 }),
    origin: z.string().length(3),
    destination: z.string().length(3),
    /** In miles. */
    distance: z.int().nonnegative(),
    /** In minutes; negative when it was early. */
    delay: z.int(),
  }),
})

/** A passenger's compensation has been granted. */
export const voucherIssued = defineEvent('voucher.issued', {
  description: 'Compensation for a long delay has been granted',
  payload: z.object({ flight, dollars: z.int().positive() }),
})
