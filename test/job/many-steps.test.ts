import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { defineJob } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** How many bytes are in use when all garbage is collected. */
function used(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

test.for([
  [1_500, 20_000] as const,
  // Repeats itself so much that it is compressed to next to nothing in its row.
  [5_000, 5_000] as const,
])(
  'a job that goes on after %i steps keeps nothing of their %i bytes each',
  async ([steps, bytes]) => {
    const passed = Promise.withResolvers<number>()
    const job = defineJob('long', {
      input: z.object({}),
      run: async (_job, ctx) => {
        for (let n = 1; n <= steps; n++) {
          const output = await ctx.step(`step ${n}`, () => 'not stored')
          if (output.length !== bytes) throw new Error(output)
        }
        passed.resolve(used())
      },
    })
    await using app = appOn(database, [job])
    await database.query(
      `WITH job AS (
       INSERT INTO tidemark.jobs (id, name, input, token) VALUES (gen_random_uuid(), 'long', '{}', 1) RETURNING id
     )
     INSERT INTO tidemark.job_steps (job, step, position, output, completed_at)
     SELECT j.id, 'step ' || n, n, to_jsonb(left(repeat(md5(n::text), 1 + $2::integer / 32), $2::integer)), now()
     FROM job j, generate_series(1, $1::integer) AS n`,
      [steps, bytes],
    )
    const before = used()
    await app.start()
    expect((await passed.promise) - before).toBeLessThan((steps * bytes) / 3)
  },
)

test('the list of steps is made once for each end, in the order of ends, and what was handed out stays', async () => {
  const seen = Promise.withResolvers<readonly (readonly string[])[]>()
  const slow = Promise.withResolvers<void>()
  const job = defineJob('listing', {
    input: z.object({}),
    run: async (_job, ctx) => {
      const names = (): readonly string[] => ctx.steps.map(({ id }) => id)
      const late = ctx.step('late', () => slow.promise)
      await ctx.step('a', () => {})
      const first = ctx.steps
      expect(ctx.steps).toBe(first)
      expect(Object.isFrozen(first)).toBe(true)
      await ctx.step('b', () => {})
      const lists = [names()]
      slow.resolve()
      await late
      await ctx.transaction(async () => {}, { step: 'c' })
      lists.push(
        names(),
        first.map(({ id }) => id),
      )
      seen.resolve(lists)
    },
  })
  await using app = appOn(database, [job])
  await using _ = await app.start()
  const { id } = await app.jobs.spawn(job, {})
  expect(await seen.promise).toEqual([['a', 'b'], ['a', 'b', 'late', 'c'], ['a']])
  await app.jobs.handle(id).result()
})
