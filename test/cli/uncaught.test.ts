import { exitCode } from '@tidemark/cli'
import { expect, test } from 'vitest'
import { appOn } from '../support/test-app.ts'
import { Project } from './project.ts'
import { TidemarkProcess } from './tidemark.ts'

const config = `
import { EventEmitter } from 'node:events'
import { defineApp, defineJob } from 'tidemark'
import { z } from 'zod'

const never = new Promise(() => {})
const neighbours = []
const opened = Promise.withResolvers()
neighbours.push(opened.promise)
export const thrower = defineJob('thrower', {
  input: z.enum(['timer', 'promise', 'emitter', 'nothing', 'step', 'transact']),
  retry: { attempts: 1 },
  run: async (job, ctx) => {
    const error = new Error('out of reach')
    // Only beside those whose fate is looked at: what has not begun when the worker stops is given back.
    await Promise.all(neighbours)
    if (job.input === 'timer') setTimeout(() => { throw error }, 1)
    if (job.input === 'promise') void Promise.reject(error)
    if (job.input === 'emitter') setTimeout(() => new EventEmitter().emit('error', error), 1)
    if (job.input === 'nothing') setTimeout(() => { throw undefined }, 1)
    if (job.input === 'step') await ctx.step('s', () => { setTimeout(() => { throw error }, 1); return never })
    await never
  },
})
export const inTransaction = defineJob('in_transaction', {
  input: z.null(),
  retry: { attempts: 1 },
  transact: async () => {
    opened.resolve()
    setTimeout(() => { throw new Error('out of reach') }, 1)
    await never
  },
})
const ready = Promise.withResolvers()
neighbours.push(ready.promise)
export const neighbour = defineJob('neighbour', {
  input: z.enum(['completes', 'looks', 'hangs']),
  retry: { attempts: 1 },
  run: async (job, ctx) => {
    ready.resolve()
    if (job.input === 'looks') for (;;) { await ctx.checkInterrupt() }
    if (job.input === 'hangs') await never
    while (!ctx.signal.aborted) {
      try { await ctx.checkInterrupt() } catch { return 'in time' }
    }
  },
})
const begun = Promise.withResolvers()
export const bystander = defineJob('bystander', {
  input: z.null(),
  run: async () => { begun.resolve(); await never },
})
// Thrown where no job is known.
void begun.promise.then(() => { throw new Error('of nobody') })
export default defineApp({ modules: [{ thrower, inTransaction, neighbour, bystander }] })
`

test('an error that nothing catches fails the job that it comes from, and no other, and ends the worker with a code of its own', async () => {
  await using project = await Project.create(config, 'select 1')
  await using app = appOn(project.database, [])
  const spawn = async (name: string, input: unknown): Promise<string> => {
    const { value } = await project.json<{ id: string }>(
      'job',
      'spawn',
      name,
      JSON.stringify(input),
    )
    return value.id
  }
  const neighbours = {
    completes: await spawn('neighbour', 'completes'),
    looks: await spawn('neighbour', 'looks'),
    hangs: await spawn('neighbour', 'hangs'),
  }
  const throwers = [
    await spawn('thrower', 'timer'),
    await spawn('thrower', 'promise'),
    await spawn('thrower', 'emitter'),
    await spawn('thrower', 'nothing'),
    await spawn('thrower', 'step'),
    await spawn('in_transaction', null),
  ]
  await using worker = new TidemarkProcess(['worker', '--drain-timeout', '500ms'], project.options)
  const { code, stderr } = await worker.answer()
  expect(code).toBe(exitCode.uncaught)
  expect(stderr).toMatch(/"level":"error".*an error was thrown where nothing could catch it/u)
  expect(stderr).toContain('out of reach')
  expect(stderr).toContain('the worker has stopped')
  for (const id of throwers) {
    expect(stderr).toMatch(new RegExp(`"level":"error".*${id}`, 'u'))
    expect(await app.jobs.get(id)).toMatchObject({
      status: 'failed',
      attempt: 1,
      error: { code: 'TIDEMARK_JOB_UNCAUGHT' },
    })
  }
  expect(await app.jobs.get(neighbours.completes)).toMatchObject({
    status: 'completed',
    output: 'in time',
  })
  for (const id of [neighbours.looks, neighbours.hangs]) {
    expect(await app.jobs.get(id)).toMatchObject({ status: 'queued', attempt: 0, error: null })
  }
  const { rows } = await project.database.query('select max(deaths) as deaths from tidemark.jobs')
  expect(rows).toEqual([{ deaths: 0 }])
})

test('an error of nobody stops the worker, and gives back what it runs', async () => {
  await using project = await Project.create(config, 'select 1')
  await using app = appOn(project.database, [])
  const { value } = await project.json<{ id: string }>('job', 'spawn', 'bystander', 'null')
  await using worker = new TidemarkProcess(['worker', '--drain-timeout', '0ms'], project.options)
  const { code, stderr } = await worker.answer()
  expect(code).toBe(exitCode.uncaught)
  expect(stderr).toContain('of nobody')
  expect(await app.jobs.get(value.id)).toMatchObject({ status: 'queued', attempt: 0, error: null })
})
