import { defineEntity, defineEvent } from 'tidemark'
import { z } from 'zod'

/** Money has moved between two accounts. */
export const moved = defineEvent('ledger.moved', {
  payload: z.object({
    /** Names the operation: its row in `transfers`, if it has one. */
    op: z.string(),
    from: z.string(),
    to: z.string(),
    cents: z.bigint(),
    /** What handlers make of it: nothing special; an error until it is healed; the same, and their listener halts. */
    kind: z.enum(['plain', 'poison', 'stuck']),
    /** The job that follows from it. */
    job: z.enum(['none', 'settle', 'story', 'wander']),
  }),
})

/** A fee was taken, of which an inline projection keeps count. */
export const charged = defineEvent('ledger.charged', {
  payload: z.object({ op: z.string(), cents: z.bigint() }),
})

/** Something was booked to a purse that never holds less than nothing. */
export const booked = defineEvent('ledger.booked', {
  payload: z.object({ op: z.string(), cents: z.bigint() }),
})

/** A listener has seen money move. */
export const receipt = defineEvent('ledger.receipt', { payload: z.object({ of: z.bigint() }) })

/** Something happened in the other install. */
export const noted = defineEvent('second.noted', { payload: z.object({ n: z.number() }) })

/** A purse: what is taken from it must be in it. */
export const purse = defineEntity('purse', { initial: () => 0n, snapshotEvery: 20 }).on(
  booked,
  (cents, event) => cents + event.payload.cents,
)
