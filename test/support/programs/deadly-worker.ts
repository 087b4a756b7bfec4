import { once } from 'node:events'
import { defineApp, defineJob, silentLogger } from 'tidemark'
import { z } from 'zod'

// A test that is given up cannot end its workers: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

/** What the worker is started with, as JSON. */
export interface DeadlyOptions {
  readonly url: string
  readonly leaseDuration: number
}

/** Takes its process with it. */
export const deadly = defineJob('deadly', {
  input: z.object({}),
  retry: { attempts: 1, deaths: 3 },
  run: async () => {
    // Its neighbours have begun by then: they are claimed together.
    await new Promise((resolve) => setImmediate(resolve))
    process.kill(process.pid, 'SIGKILL')
    await once(process, 'never')
  },
})

/** Does its work, if it is left alive for it. */
export const innocent = defineJob('innocent', {
  input: z.object({ n: z.number() }),
  retry: { attempts: 1 },
  run: async () => {
    await new Promise((resolve) => setTimeout(resolve, 20))
  },
})

if (process.argv[2] !== undefined && process.send !== undefined) {
  const { url, leaseDuration } = JSON.parse(process.argv[2]) as DeadlyOptions
  const app = defineApp({
    connectionString: url,
    logger: silentLogger,
    modules: [deadly, innocent],
  })
  await app.start({ leaseDuration, jobs: { concurrency: 8 } })
}
