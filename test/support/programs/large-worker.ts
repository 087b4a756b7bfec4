/** A process that finishes a step with a large output, says so, and then does nothing until it is killed. */
import { once } from 'node:events'
import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'
import { LogBook } from '../log-book.ts'

// A test that is given up cannot end its workers: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

const url = process.argv[2] ?? ''

const large = defineJob('large', {
  input: z.null(),
  run: async (_, ctx) => {
    await ctx.step('read', () => ({ text: 'x'.repeat(1_000_000), at: new Date(0) }))
    await ctx.transaction(() => Promise.resolve('y'.repeat(1_000_000)), { step: 'write' })
    process.send?.('finished its steps')
    await once(process, 'message')
  },
})

const app = defineApp({ connectionString: url, modules: [large], logger: new LogBook() })
await app.start({ leaseDuration: 2_000 })
