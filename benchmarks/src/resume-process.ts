import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'
import { resumedJob, stepName } from './resumed-job.ts'

/** What a process of its own is to do, so that its memory is that of one job. */
export interface ResumeRequest {
  readonly url: string
}

/** How a job with many steps went on. */
export interface ResumeResult {
  /** From the start of the runner until its code has passed all steps, in milliseconds. */
  readonly ms: number
  /** By how much the most memory that the process had grew meanwhile, in bytes. */
  readonly grownBytes: number
}

/** What a step does that is not stored. */
function failed(): Promise<string> {
  return Promise.reject(new Error('a step was not stored'))
}

/** The most memory that this process has had, in bytes. */
function peak(): number {
  return process.resourceUsage().maxRSS * 1024
}

async function resume({ url }: ResumeRequest): Promise<ResumeResult> {
  const passed = Promise.withResolvers<number>()
  const job = defineJob(resumedJob, {
    input: z.object({}),
    run: async (_job, ctx) => {
      let sum = 0
      const { length } = ctx.steps
      for (let n = 1; n <= length; n++) {
        sum += (await ctx.step(stepName(n), failed)).length
      }
      passed.resolve(sum)
    },
  })
  await using app = defineApp({ modules: [job], connectionString: url })
  await app.jobs.counts()
  const before = peak()
  const started = performance.now()
  await app.start({ handleSignals: false })
  const sum = await passed.promise
  const ms = performance.now() - started
  if (sum === 0) throw new Error('the job had no steps')
  return { ms, grownBytes: peak() - before }
}

process.once('message', (request) => {
  resume(request as ResumeRequest)
    .then((result) => process.send?.(result))
    .catch((error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exitCode = 1
    })
    .finally(() => process.disconnect())
})
