/**
 * A process that runs a job of ten steps with its context in an object store, and kills itself at one boundary: before
 * the effect of a step, between its commit and the upload, or after the upload.
 */
import { s3 } from '@tidemark/stores/context'
import { AwsClient } from 'aws4fetch'
import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'
import { LogBook } from '../log-book.ts'

/** What a worker is told. */
export interface ContextWorkerOptions {
  readonly url: string
  readonly schema: string
  readonly bucket: string
  /** For instance `3 before`, `3 committed` or `3 put`; null: it lives. */
  readonly dieAt: string | null
}

/** A job of ten steps, each of which leaves a row. */
export function tenSteps(at: (boundary: string) => Promise<void> | void = () => {}) {
  return defineJob('ten_steps', {
    input: z.object({}),
    output: z.number(),
    retry: { attempts: 100, deaths: 100, backoff: () => 10 },
    run: async (_, ctx) => {
      let sum = 0
      for (let n = 1; n <= 10; n++) {
        const stored = await ctx.transaction(
          async (tx) => {
            await at(`${n} before`)
            await tx.tx.query('insert into effects (listener, sequence) values ($1, $2)', [
              'step',
              n,
            ])
            return { n }
          },
          { step: `step ${n}` },
        )
        sum += stored.n
      }
      return sum
    },
  })
}

/** A client that calls back before and after a document is put. */
export function watchedClient(
  client: Pick<AwsClient, 'fetch'>,
  at: (boundary: string) => Promise<void> | void,
) {
  return {
    fetch: async (url: string, init: RequestInit) => {
      const { body, method } = init
      const put = method === 'PUT' && typeof body === 'string' && url.endsWith('/context.json')
      const steps = put ? Object.keys((JSON.parse(body) as { steps: object }).steps).length : 0
      if (put) await at(`${steps} committed`)
      const answer = await client.fetch(url, init)
      if (put) await at(`${steps} put`)
      return answer
    },
  }
}

if (process.argv[1] === import.meta.filename) {
  const options = JSON.parse(process.argv[2] ?? '{}') as ContextWorkerOptions
  process.on('disconnect', () => process.exit())
  const die = (boundary: string): Promise<void> | void => {
    if (boundary !== options.dieAt) return
    process.kill(process.pid, 'SIGKILL')
    return new Promise(() => {})
  }
  const secrets = { accessKeyId: 'key', secretAccessKey: 'secret' }
  const client = new AwsClient({ ...secrets, service: 's3', region: 'default', retries: 0 })
  const app = defineApp({
    connectionString: options.url,
    schema: options.schema,
    modules: [tenSteps(die)],
    logger: new LogBook(),
    contextStore: s3({ client: watchedClient(client, die), bucket: options.bucket }),
  })
  await app.start({ leaseDuration: 1_000, maintenanceInterval: 200 })
  process.send?.('started')
}
