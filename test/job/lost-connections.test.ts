import { defineJob, type Executor } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// A connection that ends is nobody's failure: what a job's code has decided before stays decided.

const database = useFreshDatabase()

test('a step that has failed stays so when the attempt ends for want of a connection', async () => {
  const failed = new Latch()
  const outcomes: string[] = []
  let tries = 0
  const torn = defineJob('torn', {
    input: z.null(),
    retry: { attempts: 3, backoff: () => 1 },
    run: async (_, ctx) => {
      const cut = ctx.transaction(async ({ tx }) => {
        await failed.reached
        if (outcomes.length === 1) await tx.query('select pg_terminate_backend(pg_backend_pid())')
      })
      const step = ctx.step('once', () => {
        tries += 1
        if (tries === 1) throw new Error('the first time')
        return 'ran again'
      })
      outcomes.push(await step.then(String, String))
      void failed.pass()
      await cut
      return outcomes
    },
  })
  await using app = appOn(database, [torn])
  await app.start()
  const handle = await app.jobs.spawn(torn, null)
  expect(await handle.result()).toEqual(['Error: the first time', 'Error: the first time'])
  expect(tries).toBe(1)
})

const kill = 'select pg_terminate_backend(pg_backend_pid())'

test.for(['transact', 'run'] as const)(
  'the last attempt of a job with `%s` is not lost with its connection, and not for ever',
  async (how) => {
    let kills = 0
    const work = async (tx: Executor, most: number): Promise<void> => {
      if (kills++ < most) await tx.query(kill)
    }
    const torn = defineJob('torn', {
      input: z.number(),
      retry: { attempts: 1, deaths: 3, backoff: () => 0, retryable: () => false },
      ...(how === 'transact'
        ? { transact: (job, { tx }) => work(tx, Number(job.input)) }
        : { run: (job, ctx) => ctx.transaction(({ tx }) => work(tx, Number(job.input))) }),
    })
    await using app = appOn(database, [torn])
    await app.start()
    const spared = await app.jobs.spawn(torn, 2)
    await untilStatus(database, spared.id, 'completed')
    expect(kills).toBe(3)
    kills = 0
    const { id } = await app.jobs.spawn(torn, 100)
    await untilStatus(database, id, 'failed')
    expect(kills).toBe(4)
  },
)
