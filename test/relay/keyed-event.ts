import { defineEvent } from 'tidemark'
import { z } from 'zod'

/** An event of one of several keys, numbered within its key. */
export const keyed = defineEvent('test.keyed', {
  payload: z.object({ key: z.string(), number: z.number() }),
})
