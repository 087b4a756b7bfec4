import { readFileSync } from 'node:fs'
import { memoryContexts } from '@tidemark/stores/context'
import { useTestDatabase } from '@tidemark/testing/vitest'
import { defineJob, webhookOf, webhookSchema, type ContextDocument } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useTestDatabase()
const runner = { leaseDuration: 2_000, maintenanceInterval: 100 }

function documentIn(
  objects: ReadonlyMap<string, string | Uint8Array>,
  name: string,
): ContextDocument {
  return JSON.parse(String(objects.get(name))) as ContextDocument
}

/** Waits until the document says how its job has ended. */
async function ended(
  objects: ReadonlyMap<string, string | Uint8Array>,
  name: string,
): Promise<ContextDocument> {
  await vi.waitFor(
    () => expect(documentIn(objects, name).status).toMatch(/^(?:completed|failed|cancelled)$/u),
    { timeout: 20_000, interval: 5 },
  )
  return documentIn(objects, name)
}

test('after each step the document has it, and at the end it says how the job has ended', async () => {
  const contextStore = memoryContexts()
  const seen: [string, ContextDocument][] = []
  const job = defineJob('report', {
    input: z.object({ day: z.string() }),
    output: z.number(),
    run: async ({ id, input }, ctx) => {
      const at = `jobs/${id}/executions/${id}/context.json`
      const look = (when: string) => seen.push([when, documentIn(contextStore.objects, at)])
      look('begin')
      await ctx.step('fetch', () => ({ rows: 3, day: new Date(0), total: 12n }))
      look('fetch')
      await ctx.variables.set('rate', new Map([['EUR', 1]]))
      await ctx.transaction(() => Promise.resolve('stored'), { step: 'store' })
      look('store')
      return input.day.length
    },
  })
  await using app = appOn(database, [job], { contextStore })
  await using _ = await app.start(runner)
  const handle = await app.jobs.spawn(job, { day: 'Monday' }, { triggeredBy: 'user:1' })
  await handle.result()
  const folder = `jobs/${handle.id}/executions/${handle.id}/`
  const last = await ended(contextStore.objects, `${folder}context.json`)
  expect(seen.map(([when, { status, steps }]) => [when, status, Object.keys(steps)])).toEqual([
    ['begin', 'running', []],
    ['fetch', 'running', ['fetch']],
    ['store', 'running', ['fetch', 'store']],
  ])
  expect(last).toMatchObject({
    format: 1,
    jobId: handle.id,
    executionId: handle.id,
    name: 'report',
    status: 'completed',
    triggeredBy: 'user:1',
    input: { day: 'Monday' },
    output: 6,
    error: null,
    variables: { rate: [['EUR', 1]] },
    variablesMeta: { rate: { values: ['map'] } },
    steps: {
      fetch: {
        kind: 'step',
        status: 'completed',
        output: { rows: 3, total: '12' },
        error: null,
      },
      store: { status: 'completed', output: 'stored' },
    },
    webhook: null,
    files: [],
  })
  expect(await app.jobs.document(handle.id).load()).toEqual(last)
  expect(documentIn(contextStore.objects, `jobs/${handle.id}/definition.json`)).toMatchObject({
    name: 'report',
  })
})

test('a step that fails leaves its error, also while it waits for its next try', async () => {
  const contextStore = memoryContexts()
  const failed = Promise.withResolvers<void>()
  let tries = 0
  const job = defineJob('failing', {
    input: z.object({}),
    run: async (_, ctx) => {
      await ctx.step(
        'flaky',
        () => {
          tries += 1
          if (tries === 1) throw Object.assign(new RangeError('too far'), { code: 'E_FAR' })
          return 'near'
        },
        { retry: { attempts: 2, backoff: () => 60_000 } },
      )
    },
  })
  const doomed = defineJob('doomed', {
    input: z.object({}),
    retry: { attempts: 1 },
    run: (_, ctx) => ctx.step('bad', () => Promise.reject(new TypeError('no'))),
  })
  await using app = appOn(database, [job, doomed], { contextStore })
  await using _ = await app.start(runner)
  const handle = await app.jobs.spawn(job, {})
  await vi.waitFor(
    async () => {
      const step = await app.jobs.document(handle.id).step('flaky')
      expect(step).toMatchObject({ status: 'failed', completedAt: null, output: null })
      expect(step?.error).toEqual({ name: 'RangeError', message: 'too far', code: 'E_FAR' })
      failed.resolve()
    },
    { timeout: 20_000 },
  )
  await failed.promise
  await app.jobs.cancel(handle.id)
  const other = await app.jobs.spawn(doomed, {})
  const at = `jobs/${other.id}/executions/${other.id}/context.json`
  await vi.waitFor(() => expect(contextStore.objects.has(at)).toBe(true), { timeout: 20_000 })
  const last = await ended(contextStore.objects, at)
  expect([last.status, last.error]).toEqual(['failed', { name: 'TypeError', message: 'no' }])
  expect(last.steps['bad']).toMatchObject({ status: 'failed', error: { message: 'no' } })
  // Nobody ran it when it was cancelled: the maintenance finds it.
  const cancelled = `jobs/${handle.id}/executions/${handle.id}/context.json`
  expect((await ended(contextStore.objects, cancelled)).status).toBe('cancelled')
})

test('a store that is away costs no step, and has everything soon after it is back', async () => {
  const contextStore = memoryContexts()
  let away = false
  const put = contextStore.put.bind(contextStore)
  const flaky = {
    ...contextStore,
    put: (...given: Parameters<typeof put>) =>
      away ? Promise.reject(new Error('away')) : put(...given),
  }
  let effects = 0
  const job = defineJob('steady', {
    input: z.object({}),
    run: async (_, ctx) => {
      await ctx.step('one', () => 1)
      away = true
      for (const id of ['two', 'three', 'four']) await ctx.step(id, () => (effects += 1))
    },
  })
  const logger = new LogBook()
  await using app = appOn(database, [job], { contextStore: flaky, logger })
  await using _ = await app.start({ ...runner, maintenanceInterval: 60_000 })
  const handle = await app.jobs.spawn(job, {})
  await handle.result()
  expect(effects).toBe(3)
  const at = `jobs/${handle.id}/executions/${handle.id}/context.json`
  expect(Object.keys(documentIn(contextStore.objects, at).steps)).toEqual(['one'])
  expect(logger.entries.some(({ message }) => message.includes('could not be stored'))).toBe(true)
  away = false
  const last = await ended(contextStore.objects, at)
  expect(Object.keys(last.steps)).toEqual(['one', 'two', 'three', 'four'])
})

test('what was put late, lost or changed by others is never believed', async () => {
  const contextStore = memoryContexts()
  const job = defineJob('judged', {
    input: z.object({}),
    run: async (_, ctx) => void (await ctx.step('one', () => 'true')),
  })
  await using app = appOn(database, [job], { contextStore })
  await using _ = await app.start(runner)
  const handle = await app.jobs.spawn(job, {})
  await handle.result()
  const at = `jobs/${handle.id}/executions/${handle.id}/context.json`
  const last = await ended(contextStore.objects, at)
  const text = String(contextStore.objects.get(at))
  const signal = new AbortController().signal
  // A zombie's: refused by the store.
  const late = { version: last.version - 1, sha256: 'old', signal }
  expect(await contextStore.put(at, '{}', late)).toMatchObject({ version: last.version })
  expect(contextStore.objects.get(at)).toBe(text)
  const document = app.jobs.document(handle.id)
  const objects = contextStore.objects as Map<string, string>
  objects.set(at, text.replace('"true"', '"false"'))
  expect(await document.load()).toEqual(last)
  objects.delete(at)
  expect(await document.load()).toEqual(last)
  // Of a future that a restored database does not know.
  await contextStore.put(at, '{"version":900}', { version: 900, sha256: 'future', signal })
  expect(await document.load()).toEqual({ ...last, version: 901 })
  expect(await document.load()).toEqual({ ...last, version: 901 })
})

test('webhooks and files are added while the job runs, and references lead to what there is', async () => {
  const contextStore = memoryContexts()
  const resolved = Promise.withResolvers<unknown>()
  const added = Promise.withResolvers<string>()
  const go = Promise.withResolvers<void>()
  const job = defineJob('hooked', {
    input: z.object({ order: z.string() }),
    context: z.object({ webhook: webhookSchema(z.object({ order: z.string() })) }),
    run: async ({ id }, ctx) => {
      const { document, files } = ctx
      await document.setStepOutput('fetch', { id: 7n, tags: ['a', 'b'], 'odd.key': 1 })
      await document.setVariable('rate', 1.5)
      const csv = await files.write('exports/rates.csv', 'name,rate\nEUR,1\n"US\nD",2\n')
      added.resolve(id)
      await go.promise
      resolved.resolve(
        await document.resolve({
          whole: '{{steps.fetch.output.id}}',
          within: 'tag {{ steps.fetch.output.tags[1] }} at {{variables.rate}}',
          odd: '{{steps["fetch"].output["odd.key"]}}',
          input: '{{input.order}} {{webhook.query.page}} {{webhook.payload.order}}',
          file: '{{files.0.rowCount}}',
          left: String.raw`\{{steps.fetch}}`,
          list: [{ deep: '{{job.name}}' }],
        }),
      )
      expect([
        await document.getStepOutput('fetch'),
        document.hasStepOutput('fetch'),
        document.hasStepOutput('other'),
        document.stepIds(),
        document.stepCount,
        document.getVariable('rate'),
        document.hasVariable('x'),
        document.variableNames(),
        document.variableCount,
        csv.rowCount,
        csv.mimeType,
        csv.size,
      ]).toEqual([
        { id: 7n, tags: ['a', 'b'], 'odd.key': 1 },
        true,
        false,
        ['fetch'],
        1,
        1.5,
        false,
        ['rate'],
        1,
        2,
        'text/csv',
        25,
      ])
      for (const bad of [
        '{{steps.fetsch.output}}',
        '{{steps.fetch.output.constructor}}',
        '{{variables.__proto__}}',
        '{{secrets}}',
        '{{input..order}}',
        '{{steps["\\q"].output}}',
        "{{steps['fetch'].output}}",
        '{{ }}',
      ]) {
        await expect(document.resolve({ bad })).rejects.toMatchObject({
          code: 'TIDEMARK_UNKNOWN_REFERENCE',
        })
      }
      // None of these is a reference, and each is read once.
      const others = [`{{${' '.repeat(50_000)}`, '{{'.repeat(50_000), `{{${'a.'.repeat(50_000)}`]
      expect(await document.resolve(others)).toEqual(others)
      const chunks: Uint8Array[] = []
      for await (const chunk of await files.read('exports/rates.csv')) chunks.push(chunk)
      expect(Buffer.concat(chunks).toString()).toContain('EUR')
      ;(contextStore.objects as Map<string, string>).set(csv.location, 'name,rate\n')
      const spoilt = await files.read('exports/rates.csv')
      await expect(
        (async () => {
          for await (const _ of spoilt);
        })(),
      ).rejects.toMatchObject({ code: 'TIDEMARK_FILE_UNREADABLE' })
      await expect(files.write('../x', '')).rejects.toMatchObject({
        code: 'TIDEMARK_INVALID_OPTION',
      })
      await contextStore.write(
        csv.location.replace('exports/rates.csv', 'left-over'),
        (async function* () {
          yield new Uint8Array(1)
        })(),
        { type: 'text/plain', signal: ctx.signal },
      )
    },
  })
  await using app = appOn(database, [job], { contextStore })
  await using _ = await app.start(runner)
  const request = new Request('https://shop.example.com/hook?page=2', {
    method: 'POST',
    headers: { 'x-shop': 'north', authorization: 'secret' },
    body: JSON.stringify({ order: 'o-1' }),
  })
  const webhook = (await webhookOf(request)) as never
  const handle = await app.jobs.spawn(job, { order: 'o-1' }, { context: { webhook } })
  const document = app.jobs.document(await added.promise)
  await document.addFileMetadata({ path: 'in/a.parquet', location: '/data/a.parquet', size: 9 })
  expect((await document.load()).webhook).toMatchObject({
    method: 'POST',
    query: { page: '2' },
    headers: { 'x-shop': 'north' },
    payload: { order: 'o-1' },
  })
  await document.setWebhookData({ payload: { order: 'o-2' }, query: { page: '3' } })
  go.resolve()
  await handle.result()
  expect(await resolved.promise).toEqual({
    whole: 7n,
    within: 'tag b at 1.5',
    odd: 1,
    input: 'o-1 3 o-2',
    file: 2,
    left: '{{steps.fetch}}',
    list: [{ deep: 'hooked' }],
  })
  const at = `jobs/${handle.id}/executions/${handle.id}/context.json`
  const last = await ended(contextStore.objects, at)
  expect(last.files.map(({ path, rowCount, mimeType }) => [path, rowCount, mimeType])).toEqual([
    ['exports/rates.csv', 2, 'text/csv'],
    ['in/a.parquet', null, 'application/vnd.apache.parquet'],
  ])
  expect([...contextStore.objects.keys()].filter((name) => name.includes('left-over'))).toEqual([])
  await expect(
    document.addFileMetadata({ path: 'late', location: 'x', size: 1 }),
  ).rejects.toMatchObject({ code: 'TIDEMARK_UNKNOWN_CONTEXT' })
})

test('a job that goes on as a new one has another execution, and a deleted one has nothing left', async () => {
  const contextStore = memoryContexts({ folders: 'definition' })
  const job = defineJob('turning', {
    input: z.object({ turn: z.number() }),
    run: async ({ input }, ctx) => {
      await ctx.step('work', () => input.turn)
      await ctx.files.write('a.txt', 'x')
      if (input.turn < 2) await ctx.continueAsNew({ turn: input.turn + 1 })
    },
  })
  const apart = defineJob('large', {
    input: z.object({}),
    run: (_, ctx) => ctx.step('big', () => 'x'.repeat(1_000)),
  })
  await using app = appOn(database, [job, apart], { contextStore, outputs: { limit: 500 } })
  await using _ = await app.start(runner)
  const handle = await app.jobs.spawn(job, { turn: 1 })
  await handle.result()
  const root = `jobs/turning/executions/${handle.id}`
  const last = await ended(contextStore.objects, `${root}-2/context.json`)
  expect([last.executionId, last.steps['work']?.output]).toEqual([`${handle.id}-2`, 2])
  const first = documentIn(contextStore.objects, `${root}/context.json`)
  expect([first.status, first.steps['work']?.output]).toEqual(['continued', 1])
  expect(contextStore.objects.has('jobs/turning/definition.json')).toBe(true)
  const big = await app.jobs.spawn(apart, {})
  await big.result()
  const folder = `jobs/large/executions/${big.id}/`
  const document = await ended(contextStore.objects, `${folder}context.json`)
  const { output, outputAt = '' } = document.steps['big'] ?? {}
  expect([output, outputAt.startsWith(`${folder}outputs/`)]).toEqual([null, true])
  expect(JSON.parse(String(contextStore.objects.get(outputAt)))).toHaveLength(1_000)

  await database.query('DELETE FROM tidemark.jobs')
  await vi.waitFor(
    () =>
      expect([...contextStore.objects.keys()].toSorted()).toEqual([
        'jobs/large/definition.json',
        'jobs/turning/definition.json',
      ]),
    { timeout: 20_000 },
  )
  await vi.waitFor(async () => {
    const { rows } = await database.query('SELECT FROM tidemark.job_contexts')
    expect(rows).toHaveLength(0)
  })
})

test('without a store, what needs one says so, and the rest works', async () => {
  const job = defineJob('bare', {
    input: z.object({ n: z.number() }),
    output: z.unknown(),
    run: async (_, ctx) => {
      await ctx.step('a', () => ({ b: 2 }))
      const needs = { code: 'TIDEMARK_NO_CONTEXT_STORE' }
      await expect(ctx.document.load()).rejects.toMatchObject(needs)
      await expect(ctx.files.write('a', 'b')).rejects.toMatchObject(needs)
      return ctx.document.resolve(['{{steps.a.output.b}}', '{{input.n}}'])
    },
  })
  await using app = appOn(database, [job])
  await using _ = await app.start(runner)
  expect(await (await app.jobs.spawn(job, { n: 3 })).result()).toEqual([2, 3])
  expect(() => app.jobs.document('00000000-0000-7000-8000-000000000000')).toThrow(
    /TIDEMARK_NO_CONTEXT_STORE/u,
  )
  const broken = { name: 'x' } as never
  expect(() => appOn(database, [], { contextStore: broken })).toThrow(/has no put\(\)/u)
})

test('a document is what the page shows, byte for byte', async () => {
  const page = readFileSync(new URL('../../docs/contexts.md', import.meta.url), 'utf8')
  const [, shown] = /```json\n(.*?)```/su.exec(page) ?? []
  const contextStore = memoryContexts()
  const importRates = defineJob('import_rates', {
    input: z.object({ source: z.string() }),
    context: z.object({ webhook: webhookSchema(z.object({ day: z.string() })) }),
    output: z.number(),
    run: async (job, ctx) => {
      const rates = await ctx.step('fetch', () => ({ EUR: 1, USD: 2 }))
      await ctx.variables.set('source', job.input.source)
      const file = await ctx.files.write('rates.csv', 'name,rate\nEUR,1\nUSD,2\n')
      await ctx.step('check', () => Object.keys(rates).length === file.rowCount)
      return Object.keys(rates).length
    },
  })
  await using app = appOn(database, [importRates], { contextStore })
  await using _ = await app.start(runner)
  const webhook = await webhookOf(
    new Request('https://rates.example.com/hook?page=2', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ day: '2026-11-28' }),
    }),
  )
  const handle = await app.jobs.spawn(
    importRates,
    { source: 'ecb' },
    { context: { webhook: webhook as never } },
  )
  await handle.result()
  const at = `jobs/${handle.id}/executions/${handle.id}/context.json`
  await ended(contextStore.objects, at)
  const text = String(contextStore.objects.get(at))
    .replaceAll(
      /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gu,
      '01a20068-459c-7f5b-ac10-2fa5168fd22c',
    )
    .replaceAll(/"\d{4}-\d\d-\d\dT[\d:.]+Z"/gu, '"2026-11-28T09:00:00.000Z"')
  expect(text).toBe(shown)
})
