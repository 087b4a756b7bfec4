import assert from 'node:assert/strict'
import { requireApp, type App, type JobDefinition, type JobView } from 'tidemark'

/**
 * The jobs of a definition that were spawned, whatever became of them, the first one first; 100 at most.
 *
 * @example
 * ```ts
 * import { spawned } from '@tidemark/testing'
 *
 * const greet = defineJob('greet', { input: z.string(), run: () => {} })
 *
 * const [first] = await spawned(tidemark, greet)
 * console.log(first?.status, first?.triggeredBy)
 * ```
 */
export async function spawned(
  app: App,
  job: { readonly name: string },
): Promise<readonly JobView[]> {
  requireApp('spawned', app)
  const jobs = await app.jobs.list({ name: job.name, limit: 100 })
  return jobs.toReversed()
}

/**
 * Exactly these jobs of a definition were spawned, in this order. Without inputs: none.
 *
 * @throws AssertionError with both sides, which test runners show as a difference.
 *
 * @example
 * ```ts
 * import { assertSpawned } from '@tidemark/testing'
 *
 * const greet = defineJob('greet', { input: z.string(), run: () => {} })
 *
 * await tidemark.jobs.spawn(greet, 'Cleo')
 * await assertSpawned(tidemark, greet, 'Cleo')
 * ```
 */
export async function assertSpawned<Input>(
  app: App,
  job: JobDefinition<Input, unknown>,
  ...inputs: readonly NoInfer<Input>[]
): Promise<void> {
  const jobs = await spawned(app, job)
  assert.deepEqual(
    jobs.map(({ input }) => input),
    inputs,
  )
}
