import { randomUUID } from 'node:crypto'
import { defineEvent, defineJob, type JobContext, type JobTransaction } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { run } from '../../packages/core/src/database/executor.ts'
import { Database } from '../../packages/core/src/database/pool.ts'
import {
  claimJobs,
  markSuspect,
  releaseJobs,
  rescueJobs,
} from '../../packages/core/src/database/sql/job/job-claim.ts'
import {
  changeWait,
  failTry,
  writeLog,
  writeProgress,
  writeState,
  writeStep,
  writeVariable,
} from '../../packages/core/src/database/sql/job/job-memory.ts'
import {
  completeLargeJobs,
  writeLargeStep,
  writeOutputKey,
} from '../../packages/core/src/database/sql/job/job-outputs.ts'
import {
  completeJobs,
  fenceJob,
  fenceJobs,
  settleJob,
} from '../../packages/core/src/database/sql/job/job-settle.ts'
import type { SchemaStatement } from '../../packages/core/src/database/statement.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, untilStatus } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

// First every statement alone, with an owner that is still the owner and with a zombie; then the whole attempt.

const settled = (outcome: string): unknown[] => [
  outcome,
  0,
  true,
  '{"message": "zombie"}',
  null,
  randomUUID(),
  '[{"step": "s", "kind": "event", "target": "x", "sequence": 1}]',
  ['s'],
  false,
]

const writes: readonly {
  readonly what: string
  readonly statement: SchemaStatement
  readonly values: (id: string, token: string) => unknown[]
}[] = [
  {
    what: 'complete',
    statement: completeJobs,
    values: (id, token) => [[id], [token], ['1'], [null]],
  },
  {
    what: 'complete silently',
    statement: completeJobs,
    values: (id, token) => [[id], [token], null, null],
  },
  {
    what: 'fail',
    statement: settleJob,
    values: (id, token) => [id, token, ...settled('failed')],
  },
  {
    what: 'retry',
    statement: settleJob,
    values: (id, token) => [id, token, ...settled('retried')],
  },
  {
    what: 'suspend',
    statement: settleJob,
    values: (id, token) => [id, token, ...settled('suspended')],
  },
  {
    what: 'pause',
    statement: settleJob,
    values: (id, token) => [id, token, ...settled('paused')],
  },
  {
    what: 'cancel',
    statement: settleJob,
    values: (id, token) => [id, token, ...settled('cancelled')],
  },
  {
    what: 'give back',
    statement: settleJob,
    values: (id, token) => [id, token, ...settled('released')],
  },
  { what: 'give back unstarted', statement: releaseJobs, values: (id, token) => [[id], [token]] },
  { what: 'begin alone', statement: markSuspect, values: (id, token) => [id, token] },
  { what: 'begin a transaction', statement: fenceJob, values: (id, token) => [id, token] },
  { what: 'begin a batch', statement: fenceJobs, values: (id, token) => [[id], [token]] },
  {
    what: 'checkpoint',
    statement: writeState,
    values: (id, token) => [id, token, 1, '{}', null, null],
  },
  {
    what: 'set a variable',
    statement: writeVariable,
    values: (id, token) => [id, token, 'v', '1', 'null', null],
  },
  { what: 'report progress', statement: writeProgress, values: (id, token) => [id, token, '0.5'] },
  {
    what: 'finish a step',
    statement: writeStep,
    values: (id, token) => [id, token, 's', 'step', '1', null, 5, 1, null],
  },
  {
    what: 'put off another try of a step',
    statement: failTry,
    values: (id, token) => [id, token, 's', 1, 5, '{}', 1_000],
  },
  {
    what: 'change what a wait is for',
    statement: changeWait,
    values: (id, token) => [id, token, 's', 'event', '{}'],
  },
  {
    what: 'finish a step with a large output',
    statement: writeLargeStep,
    values: (id, token) => [
      id,
      token,
      's',
      'step',
      '{"key": "k", "size": 1}',
      null,
      5,
      1,
      null,
      'k',
      '1',
      null,
    ],
  },
  {
    what: 'complete with a large output',
    statement: completeLargeJobs,
    values: (id, token) => [
      [id],
      [token],
      ['{"key": "k", "size": 1}'],
      [null],
      [id],
      ['k'],
      ['1'],
      [null],
    ],
  },
  {
    what: 'begin to put a large output into a store',
    statement: writeOutputKey,
    values: (id, token) => [id, token, 'k', 'bucket'],
  },
  {
    what: 'log',
    statement: writeLog,
    values: (id, token) => [id, token, [5], ['info'], ['m'], ['{}']],
  },
]

/** Everything that is stored about jobs. */
async function everything(): Promise<unknown[]> {
  const tables = ['jobs', 'job_states', 'job_steps', 'job_outputs', 'job_attempts', 'job_logs']
  tables.push('job_output_keys', 'job_waits')
  const all: unknown[] = []
  for (const table of tables) {
    const { rows } = await database.query(
      `select to_jsonb(t) as row from tidemark.${table} t order by 1`,
    )
    all.push([table, rows])
  }
  return all
}

async function claim(pool: Database, process: string): Promise<{ id: string; token: string }> {
  const { rows } = await run(pool, claimJobs('tidemark'), [process, 'default', ['fenced'], 1, [1]])
  return rows[0] as unknown as { id: string; token: string }
}

for (const { what, statement, values } of writes) {
  test(`to ${what} takes the present token: a zombie changes nothing, before and after another claim`, async () => {
    const pool = new Database({ connectionString: database.url }, 'fence', () => {})
    try {
      await database.query(`select tidemark.spawn('fenced', '{}')`)
      const zombie = await claim(pool, randomUUID())
      expect((await run(pool, rescueJobs('tidemark'), [1000, '{}'])).rowCount).toBe(1)

      const rescued = await everything()
      const late = await run(pool, statement('tidemark'), values(zombie.id, zombie.token))
      expect(late.rowCount).toBe(0)
      expect(await everything()).toEqual(rescued)

      const owner = await claim(pool, randomUUID())
      expect(owner.id).toBe(zombie.id)
      const claimed = await everything()
      const later = await run(pool, statement('tidemark'), values(zombie.id, zombie.token))
      expect(later.rowCount).toBe(0)
      expect(await everything()).toEqual(claimed)

      const own = await run(pool, statement('tidemark'), values(owner.id, owner.token))
      expect(own.rowCount).toBe(1)
    } finally {
      await pool.close()
    }
  })
}

const happened = defineEvent('happened', { payload: z.object({}) })
const next = defineJob('next', { input: z.null(), run: () => {} })

type Late = (ctx: JobContext<{ n: number }>, tx: JobTransaction) => Promise<unknown>

const lateWrites: Readonly<Record<string, Late>> = {
  checkpoint: (ctx) => ctx.checkpoint({ n: 99 }),
  step: (ctx) => ctx.step('late', () => 99),
  variable: (ctx) => ctx.variables.set('late', 99),
  spawn: (ctx) => ctx.spawn(next, null),
  transaction: (ctx) =>
    ctx.transaction(async (tx) => {
      await tx.tx.query(`insert into effects (listener, sequence) values ('late', 99)`)
      tx.publish(happened({}))
      tx.complete(99)
    }),
  'open transaction': (_, tx) =>
    tx.tx.query(`insert into effects (listener, sequence) values ('late', 99)`),
}

for (const [what, late] of Object.entries(lateWrites)) {
  test(`a zombie's ${what} after its job was taken over throws, and has no effect`, async () => {
    const latch = new Latch()
    const tried = Promise.withResolvers<unknown>()
    const fenced = defineJob('fenced', {
      input: z.null(),
      state: z.object({ n: z.number() }).default({ n: 0 }),
      retry: { attempts: 5, backoff: () => 1 },
      run: async (job, ctx) => {
        if (job.token > 1n) return 'second'
        await ctx.checkpoint({ n: 1 })
        const begun = Promise.withResolvers<JobTransaction>()
        const held = ctx.transaction(async (tx) => {
          begun.resolve(tx)
          if (what === 'open transaction') await latch.pass()
        })
        held.catch(() => {})
        const open = await begun.promise
        if (what !== 'open transaction') {
          await held
          await latch.pass()
        } else await latch.opened
        const error = await late(ctx, open).then(
          () => 'it succeeded',
          (reason: unknown) => reason,
        )
        tried.resolve(error)
        return held.then(() => 'first')
      },
    })
    await using app = appOn(database, [fenced, next, happened])
    const runner = await app.start({ leaseDuration: 60_000 })
    const handle = await app.jobs.spawn(fenced, null)
    await latch.reached
    // As a rescue does it: the token is another one, and the job is somebody else's. An attempt that is in a
    // transaction holds its row; only the end of its connection lets the rescue through.
    if (what === 'open transaction') {
      await database.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tidemark jobs'`,
      )
    }
    await database.query(
      `update tidemark.jobs set status = 'queued', process = null where id = $1`,
      [handle.id],
    )
    expect(await handle.result()).toBe('second')
    latch.open()
    const error = await tried.promise
    expect(error).toMatchObject({
      code: expect.stringMatching(/TIDEMARK_JOB_LOST|TIDEMARK_TRANSACTION_CLOSED|57P01/u),
    })
    await runner.stop()
    expect(await handle.result()).toBe('second')
    expect((await database.query('select from effects')).rowCount).toBe(0)
    expect((await database.query(`select from tidemark.events`)).rowCount).toBe(0)
    expect(await app.jobs.steps(handle.id)).toEqual([])
    const { rows } = await database.query('select state, variables from tidemark.job_states')
    expect(rows).toEqual([{ state: { n: 1 }, variables: {} }])
    expect((await app.jobs.list({ name: 'next' })).length).toBe(0)
  })
}

test('a rescue leaves a job alone while its transaction is open, and a request goes through', async () => {
  const latch = new Latch()
  const holding = defineJob('holding', {
    input: z.null(),
    run: (_, ctx) => ctx.transaction(() => latch.pass()),
  })
  await using app = appOn(database, [holding])
  await app.start()
  const handle = await app.jobs.spawn(holding, null)
  await latch.reached
  const pool = new Database({ connectionString: database.url }, 'fence', () => {})
  await database.query('update tidemark.processes set heartbeat_at = now() - interval $$1 hour$$')
  const { rowCount } = await run(pool, rescueJobs('tidemark'), [1000, '{}'])
  await pool.close()
  expect(rowCount).toBe(0)
  expect(await app.jobs.pause(handle.id)).toBe('running')
  latch.open()
  await untilStatus(database, handle.id, 'completed')
})
