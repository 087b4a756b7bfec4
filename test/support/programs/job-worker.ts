/**
 * A process that runs one type of job, for tests that kill or freeze it. It reports when a job has begun; a job whose
 * input says "hold" then waits, outside or inside of its transaction, until the parent says "release".
 */
import { once } from 'node:events'
import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'
import { LogBook } from '../log-book.ts'

// A test that is given up cannot end its workers: without a parent there is nobody to work for.
process.on('disconnect', () => process.exit())

/** What a worker is told. */
export interface JobWorkerOptions {
  readonly url: string
  readonly name: string
  readonly leaseDuration: number
  /** How many of its jobs run side by side, in all workers together. Defaults to no limit. */
  readonly limit?: number
}

/** What a worker tells. */
export interface JobWorkerReport {
  readonly what: 'started' | 'began' | 'ended'
  readonly n?: number
  readonly error?: string | undefined
}

const options = JSON.parse(process.argv[2] ?? '{}') as JobWorkerOptions

function report(message: JobWorkerReport): void {
  process.send?.(message)
}

const effect = defineJob('effect', {
  input: z.object({ n: z.number(), hold: z.enum(['no', 'outside', 'inside']) }),
  retry: { attempts: 10, backoff: () => 10 },
  ...(options.limit === undefined ? {} : { limit: { concurrency: options.limit } }),
  run: async ({ input: { n, hold } }, ctx) => {
    report({ what: 'began', n })
    if (hold === 'outside') await once(process, 'message')
    try {
      await ctx.transaction(async (tx) => {
        await tx.tx.query('insert into effects (listener, sequence, process) values ($1, $2, $3)', [
          'effect',
          n,
          options.name,
        ])
        if (hold === 'inside') {
          report({ what: 'began', n })
          await once(process, 'message')
        }
        tx.complete(options.name)
      })
      report({ what: 'ended', n })
    } catch (error) {
      report({ what: 'ended', n, error: (error as { code?: string }).code ?? String(error) })
      throw error
    }
  },
})

const app = defineApp({
  connectionString: options.url,
  modules: [effect],
  logger: new LogBook(),
})
await app.start({ leaseDuration: options.leaseDuration })
process.on('SIGTERM', () => void app.close().then(() => process.disconnect()))
report({ what: 'started' })
