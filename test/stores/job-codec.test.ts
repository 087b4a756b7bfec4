import { randomBytes } from 'node:crypto'
import { keyRing, messagePack, pipeline } from '@tidemark/stores/codecs'
import { memoryContexts } from '@tidemark/stores/context'
import { defineJob, isTidemarkError, type App, type JobsOptions, type OutputStore } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 60_000 })

const database = useFreshDatabase()
const secret = 'card 4242'
const master = { a: randomBytes(32), b: randomBytes(32) }
const onlyA = keyRing({ keys: { a: master.a }, current: 'a' })
const both = keyRing({ keys: master, current: 'b' })
const onlyB = keyRing({ keys: { b: master.b }, current: 'b' })

/** Called between the steps of {@link charge}, which goes on when it resolves. */
let between: () => Promise<void> = async () => {}

const receipt = defineJob('receipt', {
  input: z.object({ of: z.string() }),
  run: ({ input }) => ({ receiptOf: `${secret} ${input.of}` }),
})

const charge = defineJob('charge', {
  input: z.object({ amount: z.number() }),
  state: z.object({ at: z.date().optional(), tries: z.bigint() }).default({ tries: 0n }),
  retry: { attempts: 2, backoff: () => 1 },
  run: async (_, ctx) => {
    const one = await ctx.step('one', () => ({ holder: secret, at: new Date(7) }))
    await ctx.variables.set('card', { number: secret, seen: new Set([1n]) })
    await ctx.checkpoint({ at: new Date(8), tries: 1n })
    await ctx.transaction(async (tx) => ctx.checkpoint({ at: new Date(9), tries: 2n }, { tx }))
    await ctx.sleep('a moment', 1)
    const child = await ctx.child('three', receipt, { of: 'june' })
    await between()
    const large = await ctx.step('large', () => secret.repeat(1_000))
    return { one, child, large: large.length, state: ctx.state, card: ctx.variables.get('card') }
  },
})

function app(
  jobs: JobsOptions,
  options: { readonly store?: OutputStore; readonly limit?: number } = {},
): App {
  return appOn(database, [charge, receipt], { jobs, outputs: { limit: 4_000, ...options } })
}

const expected = {
  one: { holder: secret, at: new Date(7) },
  child: { receiptOf: `${secret} june` },
  large: 9_000,
  state: { at: new Date(9), tries: 2n },
  card: { number: secret, seen: new Set([1n]) },
}

async function rowsText(): Promise<string> {
  const texts: string[] = []
  for (const table of ['jobs', 'job_states', 'job_steps', 'job_outputs']) {
    const { rows } = await database.query<{ text: string }>(
      `select coalesce(string_agg(t::text, ' '), '') as text from tidemark.${table} t`,
    )
    texts.push(rows[0]?.text ?? '')
  }
  return texts.join('\n')
}

/** Runs the job until it is between its steps, and lets the attempt end there with an error. */
async function interrupted(jobs: JobsOptions): Promise<string> {
  await using worker = app(jobs)
  const reached = Promise.withResolvers<void>()
  between = async () => {
    reached.resolve()
    await new Promise((_, reject) => setTimeout(reject, 20, new Error('as told')))
  }
  const handle = await worker.jobs.spawn(charge, { amount: 1 })
  await using _ = await worker.start({ handleSignals: false })
  await reached.promise
  await worker.jobs.pause(handle.id)
  await vi.waitFor(async () => expect((await worker.jobs.get(handle.id)).status).toBe('paused'), {
    timeout: 20_000,
  })
  between = async () => {}
  return handle.id
}

/** Lets an interrupted job go on; answers what it came to. */
async function goOn(id: string, jobs: JobsOptions): Promise<unknown> {
  await using worker = app(jobs)
  await using _ = await worker.start({ handleSignals: false })
  await worker.jobs.resume(id)
  return await worker.jobs.handle(id).result({ timeout: 30_000 })
}

test('states, variables and outputs are encrypted in the tables, and come back exactly in another attempt', async () => {
  const codec = pipeline({ keys: onlyA, serializer: messagePack() })
  const id = await interrupted({ codec })
  expect(await goOn(id, { codec })).toEqual(expected)
  expect(await rowsText()).not.toContain('4242')
  await using reader = app({ codec })
  expect(await reader.jobs.get(id)).toMatchObject({
    output: expected,
    encodedOutput: true,
    unreadable: null,
  })
  expect((await reader.jobs.list({ name: 'charge' }))[0]).toMatchObject({ encodedOutput: true })
  const steps = await reader.jobs.steps(id)
  expect(steps.map(({ output }) => output)).toEqual([expected.one, secret.repeat(1_000)])
})

test('without the codec or its key a job is shown all the same, says why, and fails with the key by name', async () => {
  const id = await interrupted({ codec: pipeline({ keys: onlyA }) })
  for (const [jobs, why] of [
    [{}, 'this process has none'],
    [{ codec: pipeline({ keys: onlyB }) }, 'the key "a", which is not among the keys'],
  ] as const) {
    await using reader = app(jobs)
    const [step] = await reader.jobs.steps(id)
    expect(step).toMatchObject({ id: 'one', output: undefined })
    expect(step?.unreadable).toContain(why)
    const error = await goOn(id, jobs).catch((thrown: unknown) => thrown)
    expect(isTidemarkError(error, 'TIDEMARK_JOB_FAILED')).toBe(true)
    expect((error as Error).message).toContain(why)
    await reader.jobs.retry(id)
    await reader.jobs.pause(id)
  }
  expect(await goOn(id, { codec: pipeline({ keys: onlyA }) })).toEqual(expected)
})

test('a value that was moved to another row, put back from before, or replaced by a plain one is refused', async () => {
  const codec = pipeline({ keys: onlyA })
  const read = `select s.state, s.state_meta, s.variables, s.variables_meta, s.writings, t.output from tidemark.job_states s
    join tidemark.job_steps t on t.job = s.job and t.step = 'one' where s.job = $1`
  const ids = [await interrupted({ codec }), await interrupted({ codec })] as const
  const [id, other] = ids
  const { rows } = await database.query(read, [other])
  const before = await database.query(read, [id])
  const fails = async (jobs: JobsOptions = { codec }): Promise<string> => {
    const error = (await goOn(id, jobs).catch((thrown: unknown) => thrown)) as Error
    await using steering = app(jobs)
    await steering.jobs.retry(id)
    await steering.jobs.pause(id)
    return error.message
  }
  const put = async (set: string, values: readonly unknown[]): Promise<void> =>
    void (await database.query(`update tidemark.job_states set ${set} where job = $1`, [
      id,
      ...values,
    ]))
  const was = before.rows[0] as Record<string, unknown>
  const moved = rows[0] as Record<string, unknown>
  const json = (value: unknown): string => JSON.stringify(value)

  await put('state = $2', [json(moved['state'])])
  expect(await fails()).toContain('belongs to another key or version')
  await put('state = $2, variables = $3', [json(was['state']), json(moved['variables'])])
  expect(await fails()).toContain('the variable "card"')
  await put('variables = $2', [json(was['variables'])])
  await database.query(
    `update tidemark.job_steps set output = $2 where job = $1 and step = 'one'`,
    [id, json(moved['output'])],
  )
  expect(await fails()).toContain('the step "one"')
  await database.query(
    `update tidemark.job_steps set output = $2 where job = $1 and step = 'one'`,
    [id, json(was['output'])],
  )
  // As if it had been written twice since: what is there is older than the row says.
  await put(`writings = jsonb_set(writings, '{state}', '9')`, [])
  expect(await fails()).toContain('the state')
  await put(`writings = $2`, [json(was['writings'])])
  await put(`variables = '{"card": {"number": "forged"}}', variables_meta = '{"card": null}'`, [])
  expect(await fails({ codec, acceptPlain: false })).toContain('it is not encoded')
  await put('variables = $2, variables_meta = $3', [
    json(was['variables']),
    json(was['variables_meta']),
  ])
  expect(await goOn(id, { codec })).toEqual(expected)
})

test('rewrite brings plain rows under a key, then under another, then back, while what it cannot read stays', async () => {
  const objects = new Map<string, string>()
  const store: OutputStore = {
    name: 'objects',
    put: async (key, json) => void objects.set(key, json),
    get: async (key) => objects.get(key),
    delete: async (keys) => keys.forEach((key) => objects.delete(key)),
  }
  await database.query('truncate tidemark.jobs cascade')
  const paused = await interrupted({})
  await using plain = app({}, { store })
  let done: string
  {
    await using _ = await plain.start({ handleSignals: false })
    const handle = await plain.jobs.spawn(charge, { amount: 2 })
    done = handle.id
    expect(await handle.result()).toEqual(expected)
  }
  expect([...objects.values()].join('')).toContain('4242')

  const rewritten = async (jobs: JobsOptions): Promise<number> => {
    await using steering = app(jobs, { store })
    const due = await steering.jobs.rewrite({ dryRun: true })
    const pages: number[] = []
    const report = await steering.jobs.rewrite({
      onProgress: ({ jobs: count }) => pages.push(count),
    })
    expect(report).toMatchObject({ passed: 0, unreadable: 0, next: null, rewritten: due.rewritten })
    expect(pages).toEqual([report.jobs])
    expect(await steering.jobs.rewrite()).toMatchObject({ rewritten: 0, values: report.values })
    return report.rewritten
  }
  const first = await rewritten({ codec: pipeline({ keys: onlyA }) })
  expect(first).toBeGreaterThan(8)
  expect(await rowsText()).not.toContain('4242')
  expect(await rewritten({ codec: pipeline({ keys: both }) })).toBe(first)

  // The key a is not needed any more, and what it would be needed for is named.
  await using late = app({ codec: pipeline({ keys: onlyA }) }, { store })
  const refused = await late.jobs.rewrite()
  expect(refused).toMatchObject({ rewritten: 0, unreadable: first })
  expect(refused.unreadables[0]?.reason).toContain('the key "b"')

  await using reader = app({ codec: pipeline({ keys: onlyB }) }, { store })
  expect((await reader.jobs.get(done)).output).toEqual(expected)
  const interruptedOne = new AbortController()
  interruptedOne.abort()
  expect(await reader.jobs.rewrite({ signal: interruptedOne.signal })).toMatchObject({ jobs: 0 })

  expect(await rewritten({ codec: pipeline({ keys: onlyB }), write: false })).toBe(first)
  expect(await rowsText()).toContain('4242')
  expect(await goOn(paused, {})).toEqual(expected)
})

test('a document for other tools has everything but the values that a codec has written, and those as texts', async () => {
  const contextStore = memoryContexts()
  const paid = defineJob('paid', {
    input: z.object({ amount: z.number() }),
    run: async (_, ctx) => {
      await ctx.variables.set('card', secret)
      await ctx.step('charge', () => ({ card: secret }))
      return secret
    },
  })
  await using running = appOn(database, [paid], {
    contextStore,
    jobs: { codec: pipeline({ keys: onlyA }) },
  })
  await using _ = await running.start({ maintenanceInterval: 100 })
  const handle = await running.jobs.spawn(paid, { amount: 7 })
  const { id } = handle
  expect(await handle.result()).toBe(secret)
  const at = `jobs/${id}/executions/${id}/context.json`
  await vi.waitFor(() =>
    expect(String(contextStore.objects.get(at))).toContain('"completed",\n  "t'),
  )
  const text = String(contextStore.objects.get(at))
  expect(text).not.toContain(secret)
  const codedNotes = { values: [['custom', 'tidemark.coded']] }
  const document = JSON.parse(text) as Record<string, unknown>
  expect(document).toMatchObject({
    name: 'paid',
    status: 'completed',
    input: { amount: 7 },
    outputMeta: codedNotes,
    steps: { charge: { status: 'completed', outputMeta: codedNotes } },
  })
  // Whoever loads it sees what other tools see; the job itself, and who asks for its result, read the values.
  expect(await running.jobs.document(id).load()).toEqual(document)
})
