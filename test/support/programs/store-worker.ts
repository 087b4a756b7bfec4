/** A process whose store has what a step put, says so, and answers no more: it ends before there is a reference. */
import { once } from 'node:events'
import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'
import { directoryStore } from '../directory-store.ts'
import { LogBook } from '../log-book.ts'

// A test that is given up cannot end its workers: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

const [, , url = '', directory = ''] = process.argv
const store = directoryStore(directory)

const large = defineJob('large', {
  input: z.null(),
  run: (_, ctx) => ctx.step('one', () => 'x'.repeat(100_000)),
})

const app = defineApp({
  connectionString: url,
  modules: [large],
  logger: new LogBook(),
  outputs: {
    store: {
      ...store,
      put: async (key, json, options) => {
        await store.put(key, json, options)
        process.send?.('put')
        await once(process, 'message')
      },
    },
  },
})
await app.start({ leaseDuration: 2_000 })
