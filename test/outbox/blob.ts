import { defineEvent } from 'tidemark'
import { z } from 'zod'

/** An event as large as the test likes. */
export const blob = defineEvent('test.blob', {
  payload: z.object({ n: z.number(), text: z.string() }),
})
