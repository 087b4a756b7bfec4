import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { defineJob } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { decodeValue } from '../../packages/core/src/event/encoded/codec.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const program = fileURLToPath(new URL('../support/programs/large-worker.ts', import.meta.url))
const megabyte = (letter: string): string => letter.repeat(1_000_000)
const unexpected = (): never => {
  throw new Error('a finished step ran again')
}

async function kept(): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    'select count(*)::int as n from tidemark.job_outputs',
  )
  return rows[0]?.n ?? -1
}

test('large outputs of steps and of the job survive kill -9 and are read back wherever they are asked for', async () => {
  const large = defineJob('large', {
    input: z.null(),
    output: z.object({ text: z.string(), at: z.date() }),
    run: async (_, ctx) => {
      expect(ctx.steps.map(({ id }) => id)).toEqual(['read', 'write'])
      const { at } = await ctx.step<{ text: string; at: Date }>('read', unexpected)
      const text = await ctx.transaction<string>(unexpected, { step: 'write' })
      return { text, at }
    },
  })
  await using app = appOn(database, [large])
  const child = fork(program, [database.url], {
    execArgv: ['--conditions=@tidemark/source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const handle = await app.jobs.spawn(large, null)
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
  await app.start({ handleSignals: false, leaseDuration: 2_000 })

  const result = { text: megabyte('y'), at: new Date(0) }
  expect(await handle.result({ timeout: '40s' })).toEqual(result)
  expect(await app.jobs.get(handle.id)).toMatchObject({ output: result })
  expect((await app.jobs.steps(handle.id)).map(({ id, output }) => ({ id, output }))).toEqual([
    { id: 'read', output: { text: megabyte('x'), at: new Date(0) } },
    { id: 'write', output: megabyte('y') },
  ])
  expect(await kept()).toBe(3)
})

test('a list has the size of a large output and not the output; the rows stay small', async () => {
  const plain = defineJob('plain', { input: z.number(), run: ({ input }) => 'z'.repeat(input) })
  const batched = defineJob('batched', {
    input: z.number(),
    transact: ({ input }) => 'z'.repeat(input),
  })
  const own = defineJob('own', {
    input: z.number(),
    run: async ({ input }, ctx) => {
      await ctx.transaction(async (tx) => tx.complete('z'.repeat(input)))
    },
  })
  await using app = appOn(database, [plain, batched, own], { outputs: { limit: 100 } })
  await app.start({ handleSignals: false })
  for (const job of [plain, batched, own]) {
    const small = await app.jobs.spawn(job, 98)
    const large = await app.jobs.spawn(job, 99)
    expect(await small.result()).toBe('z'.repeat(98))
    expect(await large.result()).toBe('z'.repeat(99))
  }
  const jobs = await app.jobs.list()
  expect(jobs.map(({ input, output, largeOutput }) => [input, output, largeOutput])).toEqual(
    [1, 2, 3].flatMap(() => [
      [99, undefined, 101],
      [98, 'z'.repeat(98), null],
    ]),
  )
  const { rows } = await database.query<{ size: number }>(
    'select max(length(output::text)) as size from tidemark.jobs',
  )
  expect(rows[0]?.size).toBe(100)
})

test("a child's large result is its parent's", async () => {
  const child = defineJob('child', {
    input: z.null(),
    output: z.string(),
    run: () => megabyte('c'),
  })
  const parent = defineJob('parent', {
    input: z.null(),
    run: async (_, ctx) => (await ctx.child('one', child, null)).length,
  })
  await using app = appOn(database, [child, parent])
  await app.start({ handleSignals: false })
  expect(await (await app.jobs.spawn(parent, null)).result()).toBe(1_000_000)
})

test('a zombie writes no large output', async () => {
  const latch = new Latch()
  const tried = Promise.withResolvers<unknown>()
  const fenced = defineJob('fenced', {
    input: z.null(),
    retry: { attempts: 5, backoff: () => 1 },
    run: async (_, ctx) => {
      await latch.pass()
      const late = ctx.step('late', () => megabyte('z'))
      tried.resolve(
        await late.then(
          () => 'written',
          (error: { code?: string }) => error.code,
        ),
      )
      return megabyte('z')
    },
  })
  await using app = appOn(database, [fenced])
  await app.start({ handleSignals: false })
  const handle = await app.jobs.spawn(fenced, null)
  await latch.reached
  await database.query(
    // Paused, so that its process hears of it from the fence and not from another claim.
    `update tidemark.jobs set token = token + 1, status = 'paused', process = null where id = $1`,
    [handle.id],
  )
  latch.open()
  expect(await tried.promise).toBe('TIDEMARK_JOB_LOST')
  await app.close()
  expect(await kept()).toBe(0)
})

test('large outputs are deleted with their job', async () => {
  const large = defineJob('large', {
    input: z.null(),
    run: async (_, ctx) => ctx.step('one', () => megabyte('s')),
  })
  await using app = appOn(database, [large])
  await app.start({ handleSignals: false })
  await (await app.jobs.spawn(large, null)).result()
  expect(await kept()).toBe(2)
  await app.jobs.prune({ name: 'large', olderThan: 0 })
  await until(database, 'select count(*)::int from tidemark.jobs', 0)
  expect(await kept()).toBe(0)
})

test('a release that does not know references fails on one', async () => {
  const large = defineJob('large', { input: z.null(), run: () => megabyte('o') })
  await using app = appOn(database, [large])
  await app.start({ handleSignals: false })
  await (await app.jobs.spawn(large, null)).result()
  const { rows } = await database.query('select output, output_meta from tidemark.jobs')
  // What that release does with the columns.
  expect(() => decodeValue(rows[0]?.['output'], rows[0]?.['output_meta'])).toThrow(
    'unknown custom value',
  )
})

test('the limit is checked', () => {
  expect(() => appOn(database, [], { outputs: { limits: 1 } as never })).toThrow(
    expect.objectContaining({ hint: 'Did you mean "limit"?' }),
  )
  expect(() => appOn(database, [], { outputs: { limit: -1 } })).toThrow('"limit"')
})
