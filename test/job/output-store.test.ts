import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineJob, type JobHandle, type OutputsOptions, type OutputStore } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { Database } from '../../packages/core/src/database/pool.ts'
import { OutputSweep } from '../../packages/core/src/job/outputs/output-sweep.ts'
import { Outputs } from '../../packages/core/src/job/outputs/outputs.ts'
import { directoryStore } from '../support/directory-store.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch, until, untilStatus } from '../support/jobs.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const program = fileURLToPath(new URL('../support/programs/store-worker.ts', import.meta.url))
const limit = 500
const long = (letter: string): string => letter.repeat(1_000)

/** A store in memory, for the applications of a test to share. */
class MemoryStore implements OutputStore {
  readonly name: string
  readonly kept = new Map<string, string>()
  puts = 0
  gets = 0
  /** Called before a text is kept. */
  onPut: (key: string, json: string) => Promise<void> | void = () => {}
  /** Called before keys are deleted. */
  onDelete: () => void = () => {}

  constructor(name = 'memory') {
    this.name = name
  }

  async put(key: string, json: string): Promise<void> {
    this.puts += 1
    await this.onPut(key, json)
    this.kept.set(key, json)
  }

  async get(key: string): Promise<string | undefined> {
    this.gets += 1
    return this.kept.get(key)
  }

  async delete(keys: readonly string[]): Promise<void> {
    this.onDelete()
    for (const key of keys) this.kept.delete(key)
  }
}

async function count(table: string): Promise<number> {
  const { rows } = await database.query<{ n: number }>(
    `select count(*)::int as n from tidemark.${table}`,
  )
  return rows[0]?.n ?? -1
}

/** One round of the sweep; answers how many outputs it deleted. */
async function sweep(store: OutputStore): Promise<number> {
  const pool = new Database({ connectionString: database.url }, 'sweep', () => {})
  try {
    const outputs = new Outputs('tidemark', { store })
    return await new OutputSweep(pool, outputs, new AbortController().signal).run()
  } finally {
    await pool.close()
  }
}

/** Makes all keys as much older. */
async function letPass(days: number): Promise<void> {
  await database.query(
    `update tidemark.job_output_keys set created_at = created_at - $1 * interval '1 day'`,
    [days],
  )
}

test('outputs of steps, of a child and of the job go to the store, and come back in a resumed attempt and in another application', async () => {
  const store = new MemoryStore()
  const ran: string[] = []
  let interrupted = false
  const child = defineJob('child', { input: z.null(), output: z.string(), run: () => long('c') })
  const parent = defineJob('parent', {
    input: z.null(),
    output: z.object({ text: z.string(), at: z.date() }),
    retry: { attempts: 2, backoff: () => 1 },
    run: async (_, ctx) => {
      const { at } = await ctx.step('one', () => {
        ran.push('one')
        return { text: long('a'), at: new Date(0) }
      })
      const work = (): Promise<string> => {
        ran.push('two')
        return Promise.resolve(long('b'))
      }
      const text = await ctx.transaction(work, { step: 'two' })
      const { length } = await ctx.child('three', child, null)
      if (!interrupted) {
        interrupted = true
        throw new Error('as told')
      }
      return { text: `${text}${length}`, at }
    },
  })
  await using worker = appOn(database, [parent, child], { outputs: { store, limit } })
  await using reader = appOn(database, [parent, child], { outputs: { store } })
  await worker.start({ handleSignals: false })
  const handle = await reader.jobs.spawn(parent, null)

  const result = { text: `${long('b')}1000`, at: new Date(0) }
  expect(await handle.result()).toEqual(result)
  expect(interrupted).toBe(true)
  expect(ran).toEqual(['one', 'two'])
  expect(await reader.jobs.get(handle.id)).toMatchObject({ output: result })
  expect((await reader.jobs.steps(handle.id)).map(({ id, output }) => ({ id, output }))).toEqual([
    { id: 'one', output: { text: long('a'), at: new Date(0) } },
    { id: 'two', output: long('b') },
  ])

  const asked = store.gets
  expect(asked).toBeGreaterThan(0)
  const listed = await reader.jobs.list({ name: 'parent' })
  expect(listed.map(({ output }) => output)).toEqual([undefined])
  expect(listed[0]?.largeOutput).toBeGreaterThan(1_000)
  expect(store.gets).toBe(asked)

  // The child's result is kept twice: as its own, and as what its parent waited for.
  expect([store.kept.size, await count('job_output_keys'), await count('job_outputs')]).toEqual([
    5, 5, 0,
  ])
  const { rows } = await database.query<{ size: number }>(
    `select max(length(output::text)) as size
     from (select output from tidemark.jobs union all select output from tidemark.job_steps) as o`,
  )
  expect(rows[0]?.size).toBeLessThan(200)
})

test('a put that fails is an error of its attempt: what it should have kept is done again', async () => {
  const store = new MemoryStore()
  // Of the step, and then of the result.
  store.onPut = () => {
    if (store.puts === 1 || store.puts === 3) throw new Error('out of space')
  }
  let steps = 0
  const large = defineJob('large', {
    input: z.null(),
    retry: { attempts: 3, backoff: () => 1 },
    run: async (_, ctx) => {
      await ctx.step('one', () => {
        steps += 1
        return long('s')
      })
      return long('r')
    },
  })
  await using app = appOn(database, [large], { outputs: { store, limit } })
  await app.start({ handleSignals: false })
  const handle = await app.jobs.spawn(large, null)
  expect(await handle.result()).toBe(long('r'))
  expect(steps).toBe(2)
  const attempts = await app.jobs.attempts(handle.id)
  expect(attempts.map(({ outcome, error }) => [outcome, error?.message])).toEqual([
    ['retried', 'out of space'],
    ['retried', 'out of space'],
    ['completed', undefined],
  ])
  await letPass(2)
  expect(await sweep(store)).toBe(2)
  expect([store.kept.size, await count('job_output_keys')]).toEqual([2, 2])
})

test('a transactional job whose put fails is rolled back alone, and tried again', async () => {
  const store = new MemoryStore()
  const refused = new Set<string>()
  store.onPut = (_, json) => {
    if (!json.includes('bad') || refused.has(json)) return
    refused.add(json)
    throw new Error('out of space')
  }
  const options = { input: z.string(), retry: { attempts: 2, backoff: () => 1 } }
  const insert = `insert into effects (listener, sequence) values ($1, 1)`
  const batched = defineJob('batched', {
    ...options,
    transact: async ({ input }, { tx }) => {
      await tx.query(insert, [input])
      return input.repeat(100)
    },
  })
  const own = defineJob('own', {
    ...options,
    run: async ({ input }, ctx) => {
      await ctx.transaction(async (tx) => {
        await tx.tx.query(insert, [input])
        tx.complete(input.repeat(100))
      })
    },
  })
  await using app = appOn(database, [batched, own], { outputs: { store, limit } })
  const spawned = new Map<string, JobHandle>()
  for (const { name } of [batched, own]) {
    for (let n = 0; n < 12; n++) {
      const text = `${name} ${n} ${n === 5 ? 'bad' : 'good'}`
      spawned.set(text, await app.jobs.spawn(name, text))
    }
  }
  // One slot: the batches grow.
  await app.start({ handleSignals: false, jobs: { concurrency: 1 } })
  for (const [text, handle] of spawned) {
    expect(await handle.result()).toBe(text.repeat(100))
    const outcomes = (await app.jobs.attempts(handle.id)).map(({ outcome }) => outcome)
    expect(outcomes).toEqual(text.includes('bad') ? ['retried', 'completed'] : ['completed'])
  }
  const { rows } = await database.query<{ listener: string }>('select listener from effects')
  expect(rows.map(({ listener }) => listener).toSorted()).toEqual([...spawned.keys()].toSorted())
})

test('a crash between the put and the reference leaves an output that is swept after a day', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'outputs-'))
  const store = directoryStore(directory)
  const large = defineJob('large', {
    input: z.null(),
    run: (_, ctx) => ctx.step('one', () => long('y').repeat(100)),
  })
  await using app = appOn(database, [large], { outputs: { store } })
  const child = fork(program, [database.url, directory], {
    execArgv: ['--conditions=@tidemark/source'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const handle = await app.jobs.spawn(large, null)
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const [orphan = ''] = await readdir(directory)
  // While its job counts as running there may still be a reference.
  await letPass(2)
  expect(await sweep(store)).toBe(0)
  await letPass(-2)

  await app.start({ handleSignals: false, leaseDuration: 2_000 })
  expect(await handle.result({ timeout: '40s' })).toBe(long('y').repeat(100))
  expect(await sweep(store)).toBe(0)
  expect(await readdir(directory)).toHaveLength(3)
  await letPass(2)
  expect(await sweep(store)).toBe(1)
  const left = await readdir(directory)
  expect(left).toHaveLength(2)
  expect(left).not.toContain(orphan)
  expect(await count('job_output_keys')).toBe(2)
  expect(await handle.result()).toBe(long('y').repeat(100))
  await rm(directory, { recursive: true })
})

test("a zombie's put is never referred to, and is swept after a day", async () => {
  const store = new MemoryStore()
  const latch = new Latch()
  const keys: string[] = []
  store.onPut = async (key) => {
    keys.push(key)
    if (keys.length === 1) await latch.pass()
  }
  const tried = Promise.withResolvers<unknown>()
  const fenced = defineJob('fenced', {
    input: z.null(),
    run: async ({ token }, ctx) => {
      const step = ctx.step('one', () => long(token === 1n ? 'z' : 'o'))
      if (token > 1n) return step
      tried.resolve(
        await step.then(
          () => 'written',
          (error: { code?: string }) => error.code,
        ),
      )
      return 'zombie'
    },
  })
  await using app = appOn(database, [fenced], { outputs: { store, limit } })
  await app.start({ handleSignals: false })
  const handle = await app.jobs.spawn(fenced, null)
  await latch.reached
  await database.query(
    `update tidemark.jobs set token = token + 1, status = 'paused', process = null where id = $1`,
    [handle.id],
  )
  latch.open()
  expect(await tried.promise).toBe('TIDEMARK_JOB_LOST')
  await app.jobs.resume(handle.id)
  expect(await handle.result()).toBe(long('o'))

  expect(store.kept.size).toBe(3)
  // A put may still be under way.
  expect(await sweep(store)).toBe(0)
  await letPass(2)
  expect(await sweep(store)).toBe(1)
  expect([...store.kept.keys()]).toEqual(keys.slice(1))
  expect(await handle.result()).toBe(long('o'))
  expect((await app.jobs.steps(handle.id)).map(({ output }) => output)).toEqual([long('o')])
})

test('the maintenance deletes what a deleted job had in the store, also when it failed to the first time', async () => {
  const store = new MemoryStore()
  const log = new LogBook()
  let failed = false
  store.onDelete = () => {
    if (failed) return
    failed = true
    throw new Error('out of order')
  }
  const large = defineJob('large', {
    input: z.null(),
    retention: { age: 0 },
    run: async (_, ctx) => {
      await ctx.step('one', () => long('s'))
      return long('r')
    },
  })
  await using app = appOn(database, [large], { logger: log, outputs: { store, limit } })
  await app.start({ handleSignals: false, maintenanceInterval: 100 })
  await app.jobs.spawn(large, null)
  await log.wrote(/^maintenance of the store of outputs failed$/u)
  await until(database, 'select count(*)::int from tidemark.job_output_keys', 0)
  expect([store.puts, store.kept.size, await count('jobs')]).toEqual([2, 0, 0])
})

test('the maintenance deletes what a job that began anew had in the store, however long ago', async () => {
  const store = new MemoryStore()
  const turning = defineJob('turning', {
    input: z.number(),
    run: async (job, ctx) => {
      await ctx.step('one', () => long('s'))
      await ctx.waitForSignal('turn', 'turn')
      if (job.input < 2) await ctx.continueAsNew(job.input + 1)
    },
  })
  await using app = appOn(database, [turning], { outputs: { store, limit } })
  await app.start({ handleSignals: false })
  const { id } = await app.jobs.spawn(turning, 1)
  await until(database, `select count(*)::int from tidemark.job_waits`, 1)
  await letPass(2)
  expect(await sweep(store)).toBe(0)
  await app.jobs.signal(id, 'turn')
  await until(database, 'select count(*)::int from tidemark.job_output_keys', 2)
  await untilStatus(database, id, 'scheduled')
  await letPass(2)
  expect([await sweep(store), store.kept.size]).toEqual([1, 1])
})

test('who has not the store, or a store that has lost an output, is told so; a list and what is in Postgres are read by all', async () => {
  const store = new MemoryStore()
  const large = defineJob('large', { input: z.null(), run: () => long('r') })
  await using app = appOn(database, [large], { outputs: { store, limit } })
  const runner = await app.start({ handleSignals: false })
  const handle = await app.jobs.spawn(large, null)
  expect(await handle.result()).toBe(long('r'))
  await runner.stop()
  const other = new MemoryStore('other')
  const without: readonly OutputsOptions[] = [{ limit }, { store: other }]
  for (const outputs of without) {
    await using reader = appOn(database, [large], { outputs })
    const unreadable = {
      code: 'TIDEMARK_OUTPUT_UNREADABLE',
      hint: expect.stringContaining('"memory"'),
    }
    await expect(reader.jobs.get(handle.id)).rejects.toMatchObject(unreadable)
    await expect(reader.jobs.handle(handle.id).result()).rejects.toMatchObject(unreadable)
    expect((await reader.jobs.list())[0]?.largeOutput).toBe(1_002)
    expect(await reader.jobs.get(handle.id, { output: false })).toMatchObject({
      largeOutput: 1_002,
    })
    await expect(reader.jobs.cancel(handle.id)).rejects.toMatchObject({
      code: 'TIDEMARK_JOB_STATUS',
    })
  }
  await letPass(2)
  expect(await sweep(other)).toBe(0)

  await using plain = appOn(database, [large], { outputs: { limit } })
  await plain.start({ handleSignals: false })
  const inPostgres = await plain.jobs.spawn(large, null)
  await inPostgres.result()
  expect(await count('job_outputs')).toBe(1)
  expect(await app.jobs.get(inPostgres.id)).toMatchObject({ output: long('r') })

  store.kept.clear()
  await expect(app.jobs.get(handle.id)).rejects.toMatchObject({
    code: 'TIDEMARK_OUTPUT_UNREADABLE',
    message: expect.stringContaining('has lost'),
  })
})

test('nobody waits longer than he says for a store that answers nothing, and heeds no signal', async () => {
  const store = new MemoryStore()
  const large = defineJob('large', { input: z.number(), run: () => long('a') })
  await using app = appOn(database, [large], { outputs: { limit, store } })
  await app.start()
  const { id } = await app.jobs.spawn(large, 1)
  await untilStatus(database, id, 'completed')
  store.get = () => new Promise<never>(() => {})
  const leaving = new AbortController()
  const reading = app.jobs.handle(id).result({ signal: leaving.signal })
  const late = app.jobs.handle(id).result({ signal: AbortSignal.timeout(50) })
  await expect(late).rejects.toMatchObject({ code: 'TIDEMARK_OUTPUT_UNREADABLE' })
  leaving.abort(new Error('gone'))
  await expect(reading).rejects.toThrow('gone')
})

test('the store is checked when the application is defined', () => {
  const store = new MemoryStore()
  expect(() => appOn(database, [], { outputs: { stores: store } as never })).toThrow(
    expect.objectContaining({ hint: 'Did you mean "store"?' }),
  )
  const part = { name: 'part', put: () => {}, get: () => {} } as never
  expect(() => appOn(database, [], { outputs: { store: part } })).toThrow('no delete()')
  expect(() => appOn(database, [], { outputs: { store: new MemoryStore('') } })).toThrow('a name')
})
