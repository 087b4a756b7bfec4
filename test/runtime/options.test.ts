import { inspect } from 'node:util'
import {
  createHealth,
  defineApp,
  defineEntity,
  defineEvent,
  defineIntake,
  defineJob,
  defineListener,
  defineProjection,
  defineQueue,
  defineRelay,
  defineSchedule,
  discover,
  isTidemarkError,
  migrateUp,
  rolesSql,
  runJob,
  toEventSequence,
  withRequest,
  type App,
  type JobContext,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { createConsole } from '../../packages/console/src/console.ts'
import { createApi, createJobApi } from '../../packages/http/src/index.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const job = defineJob('options', { input: z.string(), run: () => {} })
const opened = defineEvent('options.opened', { payload: z.object({ id: z.string() }) })
const count = defineProjection('options_count', { version: 1, initial: () => 0 }).on(
  opened,
  (n) => n + 1,
)
const entity = defineEntity('options', { initial: () => 0 })
const nobody = '00000000-0000-4000-8000-000000000000'
const done = (): void => {}
let ids = 0
const newId = (): string => `step ${ids++}`
const minimal = { input: z.string(), run: done }
const daily = { cron: '@daily', job, input: 'a' }

/** Something that takes options, called with whatever is given in their place. */
type Entry = (options: never) => unknown

/** The options that an entry must have, with those that are tried; what is no object is tried as it is. */
function and(needed: object, options: unknown): never {
  const isObject = typeof options === 'object' && options !== null && !Array.isArray(options)
  return (isObject ? { ...needed, ...options } : options) as never
}

const definitions: Readonly<Record<string, Entry>> = {
  defineJob: (options) => defineJob('a', and(minimal, options)),
  'defineJob retry': (retry) => defineJob('a', { ...minimal, retry }),
  'defineJob limit': (limit) => defineJob('a', { ...minimal, limit }),
  'defineJob limit.rate': (rate) => defineJob('a', { ...minimal, limit: { rate } }),
  'defineJob retention': (retention) => defineJob('a', { ...minimal, retention }),
  defineQueue: (options) => defineQueue('a', options),
  defineSchedule: (options) => defineSchedule('a', and(daily, options)),
  defineEvent: (options) => defineEvent('a', and({ payload: z.string() }, options)),
  defineListener: (options) => defineListener('a', options),
  'defineListener retry': (retry) => defineListener('a', { retry }),
  defineProjection: (options) =>
    defineProjection('a', and({ version: 1, initial: () => 0 }, options)),
  defineEntity: (options) => defineEntity('a', and({ initial: () => 0 }, options)),
  defineRelay: (options) => defineRelay('a', options),
  defineIntake: (options) => defineIntake('a', options),
  defineApp: (options) => defineApp(and({ modules: [] }, options)),
  'defineApp publishQueue': (publishQueue) => defineApp({ modules: [], publishQueue }),
  'defineApp outputs': (outputs) => defineApp({ modules: [], outputs }),
  'defineApp locks': (locks) => defineApp({ modules: [], locks }),
  'defineApp contextStore': (contextStore) => defineApp({ modules: [], contextStore }),
  rolesSql: (options) => rolesSql(options),
  createHealth: (options) => createHealth(defineApp({ modules: [] }), options),
  createApi: (options) => createApi(defineApp({ modules: [] }), options),
  createJobApi: (options) => createJobApi(defineApp({ modules: [] }), options),
  createConsole: (options) => createConsole(defineApp({ modules: [] }), options),
}

const names: readonly ((name: never) => unknown)[] = [
  (name) => defineJob(name, minimal),
  (name) => defineQueue(name, {}),
  (name) => defineSchedule(name, daily),
  (name) => defineEvent(name, { payload: z.string() }),
  (name) => defineListener(name),
  (name) => defineProjection(name, { version: 1, initial: () => 0 }),
  (name) => defineEntity(name, { initial: () => 0 }),
  (name) => defineRelay(name, {} as never),
  (name) => defineIntake(name, {} as never),
]

/** What an application is asked and told: something may be sent. */
const calls = (app: App): Readonly<Record<string, Entry>> => ({
  'jobs.spawn': (options) => app.jobs.spawn(job, 'a', options),
  'jobs.spawnJson': (options) => app.jobs.spawnJson('options', 'a', options),
  'tx.spawn': (options) => app.transaction(async ({ spawn }) => spawn(job, 'a', options)),
  'tx.publish': (options) =>
    app.transaction(async ({ publish }) => publish(opened({ id: 'a' }), options)),
  publish: (options) => app.publish(opened({ id: 'a' }), options),
  transaction: (options) => app.transaction(async () => {}, options),
  decide: (options) => app.decide(entity, 'a', () => undefined, options),
  // Following ends at once.
  events: (options) => drained(app.events(and({ signal: AbortSignal.abort() }, options))),
  waitFor: (options) => app.waitFor(count, null, options),
  list: (options) => app.list(count as never, options),
  reset: (options) => app.reset(count, options),
  storedTypes: (options) => app.storedTypes(options),
  repair: (options) => app.repair(options),
  start: (options) => started(app, options),
  'start jobs': (jobs) => started(app, { jobs }),
  'start doorbell': (doorbell) => started(app, { doorbell }),
  'start keepEvents': (keepEvents) => started(app, { keepEvents }),
  'jobs.run': (options) => app.jobs.run('a', done, options),
  runJob: (options) => runJob('a', done, options),
  'jobs.withLock': (options) => app.jobs.withLock('a', options, done),
  'jobs.get': (options) => app.jobs.get(nobody, options),
  'jobs.list': (options) => app.jobs.list(options),
  'jobs.logs': (options) => app.jobs.logs(nobody, options),
  'jobs.trace': (options) => app.jobs.trace(nobody, options),
  'jobs.retry': (options) => app.jobs.retry(nobody, options),
  'jobs.prune': (options) => app.jobs.prune(and({ name: 'options', olderThan: 0 }, options)),
  'jobs.bulk.cancel': (options) => app.jobs.bulk.cancel(options),
  'jobs.bulk.pause': (options) => app.jobs.bulk.pause(options),
  'jobs.bulk.resume': (options) => app.jobs.bulk.resume(options),
  'jobs.bulk.delete': (options) => app.jobs.bulk.delete(options),
  'jobs.bulk.retry': (options) => app.jobs.bulk.retry(options),
  'jobs.bulk.retry by': (options) => app.jobs.bulk.retry({ name: 'options' }, options),
  'jobs.pauses.pauseQueue': (options) => app.jobs.pauses.pauseQueue('a', options),
  'jobs.pauses.pauseType': (options) => app.jobs.pauses.pauseType('a', options),
  'handle.result': (options) => app.jobs.handle(nobody).result(options),
  'handle.progress': (options) => drained(app.jobs.handle(nobody).progress(options)),
  'schedules.put': (options) => app.jobs.schedules.put('a', and(daily, options)),
  'schedules.putJson': (options) => app.jobs.schedules.putJson('a', and(daily, options)),
  'schedules.put in': (options) => app.jobs.schedules.put('a', daily, options),
  'schedules.remove': (options) => app.jobs.schedules.remove('a', options),
  'schedules.run': (options) => app.jobs.schedules.run('a', options),
  'schedules.ticks': (options) => app.jobs.schedules.ticks('a', options),
  'audit.list': (options) => app.audit.list(options),
  'audit.begin': (options) => app.audit.begin(and({ via: 'a', by: 'a', action: 'a' }, options)),
  'history.list': (options) => app.history.list(options),
  'doctor.examine': (options) => app.doctor.examine(options),
  'outbox.inspect': (options) => app.outbox.inspect(options),
  'outbox.inspectStream': (options) => app.outbox.inspectStream('a', options),
  'outbox.search': (options) => app.outbox.search(options),
  'outbox.search payload': (payload) => app.outbox.search({ payload }),
  'outbox.streams': (options) => app.outbox.streams(options),
  'outbox.trace': (options) => app.outbox.trace(1n as never, options),
  'outbox.planPrune': (options) => app.outbox.planPrune(options),
  'outbox.prune': (options) => app.outbox.prune(options),
  'listeners.reset': (options) => app.listeners.reset('a', options),
  'deadLetters.list': (options) => app.deadLetters.list(options),
  'deadLetters.count': (options) => app.deadLetters.count(options),
  'deadLetters.groups': (options) => app.deadLetters.groups(options),
  'deadLetters.retry': (options) => app.deadLetters.retry(options),
  'deadLetters.discard': (options) => app.deadLetters.discard(options),
  'relays.verify': (options) => app.relays.verify('a', options),
  discover: (options) => discover('/nowhere/*.ts', options),
  migrateUp: (options) => migrateUp(and({ connectionString: database.url }, options)),
  withRequest: (options) => withRequest({}, done, options),
  'withRequest headers': (headers) => withRequest(headers, done),
})

/** What the context of a job takes. */
const contexts = (ctx: JobContext<unknown>): Readonly<Record<string, Entry>> => ({
  'ctx.step': (options) => ctx.step(newId(), done, options),
  'ctx.step retry': (retry) => ctx.step(newId(), done, { retry }),
  'ctx.spawn': (options) => ctx.spawn(job, 'a', options),
  'ctx.checkpoint': (options) => ctx.checkpoint(1, options),
  'ctx.transaction': (options) => ctx.transaction(async () => 1, options),
  'ctx.map': (options) => ctx.map([1], done, options),
  'ctx.all': (options) => ctx.all([async () => 1], options),
  'ctx.step work': (work) => ctx.step(newId(), work),
  'ctx.transaction work': (work) => ctx.transaction(work),
  'ctx.map items': (items) => ctx.map(items, done),
  'ctx.map work': (work) => ctx.map([1], work),
  'ctx.all branches': (branches) => ctx.all(branches),
})

/** Options of entries that take others as well, and so do not say which they are. */
const others = ['schema', 'connectionString', 'onProgress', 'traceparent', 'x-request-id']

const notOptions = [null, 7, 'x', true, [], done, Symbol('s'), 5n]
const wrong = [null, -1, Number.NaN, '\0', true, {}, [null], Symbol('s'), 5n]

async function drained(items: AsyncIterable<unknown>): Promise<void> {
  for await (const item of items) void item
}

async function started(app: App, options: unknown): Promise<void> {
  const runner = await app.start(and({ handleSignals: false }, options))
  await runner.stop()
}

async function errorOf(call: () => unknown): Promise<unknown> {
  try {
    await call()
    return undefined
  } catch (error) {
    return error
  }
}

/** Which options an entry has, as it says when it is given another. */
async function optionsOf(entry: Entry): Promise<readonly string[]> {
  const error = await errorOf(() => entry({ noSuchOption: 1 } as never))
  const known = isTidemarkError(error) ? error.details['known'] : undefined
  return Array.isArray(known) ? (known as string[]) : others
}

/** What went otherwise than an answer or an error of ours that says what to do. */
async function trouble(what: string, call: () => unknown): Promise<string[]> {
  const error = await errorOf(call)
  const isOurs = error === undefined || (isTidemarkError(error) && error.hint !== '')
  return isOurs ? [] : [`${what}: ${inspect(error)}`]
}

async function troubles(entries: Readonly<Record<string, Entry>>): Promise<string[]> {
  const found: string[] = []
  for (const [name, entry] of Object.entries(entries)) {
    const options = (await optionsOf(entry)).flatMap((option) =>
      wrong.map((value) => ({ [option]: value })),
    )
    for (const given of [...notOptions, ...options]) {
      found.push(...(await trouble(`${name}(${inspect(given)})`, () => entry(given as never))))
    }
  }
  return found
}

test('a definition is made, or refused with what to do', async () => {
  expect(await troubles(definitions)).toEqual([])
  for (const define of names) {
    for (const name of [...notOptions, '\0', 'two words'].filter((one) => one !== 'x')) {
      const error = await errorOf(() => define(name as never))
      expect([inspect(name), error]).toEqual([inspect(name), expect.toSatisfy(isTidemarkError)])
    }
  }
})

test('an application answers, or refuses with what to do', async () => {
  await using app = appOn(database, [job, opened, count])
  expect(await troubles(calls(app))).toEqual([])
})

test('who migrates is told of an option that is misspelt, and may give those of an application', async () => {
  await expect(migrateUp({ conectionString: database.url } as object)).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
    hint: 'Did you mean "connectionString"?',
  })
  await using app = appOn(database, [job, opened, count])
  expect(await migrateUp(app.options)).toMatchObject({ applied: [] })
})

test('the context of a job does as it is told, or refuses with what to do', async () => {
  const told = Promise.withResolvers<readonly string[]>()
  const telling = defineJob('options_told', {
    input: z.string(),
    run: async (_job, ctx) => told.resolve(await troubles(contexts(ctx))),
  })
  await using app = appOn(database, [job, telling])
  await using runner = await app.start({ handleSignals: false })
  await app.jobs.spawn(telling, 'a')
  expect(await told.promise).toEqual([])
  await runner.stop()
})

test('times may be as long as they are meant', async () => {
  await using app = appOn(database, [])
  const day = 86_400_000
  const kept = { keepIdempotencyKeys: 400 * day, keepAudit: 400 * day }
  await started(app, { keepEvents: 90 * day, ...kept })
  await started(app, { keepEvents: { olderThan: 3650 * day, relayMargin: 60 * day } })
  expect(await app.outbox.planPrune({ olderThan: 3650 * day })).toHaveLength(1)
  for (const keepEvents of ['90d', {}, { relayMargin: day }, -1, 1e15]) {
    await expect(started(app, { keepEvents })).rejects.toMatchObject({
      code: 'TIDEMARK_INVALID_OPTION',
    })
  }
})

test('a sequence that is none is refused wherever one is asked for', async () => {
  await using app = appOn(database, [opened, count])
  await started(app, {})
  const [one] = await app.publish([opened({ id: 'a' })])
  const asked: Readonly<Record<string, (sequence: never) => unknown>> = {
    waitFor: (sequence) => app.waitFor(count, sequence, { timeout: 1 }),
    'waitFor nobody': (sequence) => app.waitFor([], sequence),
    'listeners.reset': (sequence) => app.listeners.reset('a', sequence),
    'listeners.skip': (sequence) => app.listeners.skip('a', sequence),
    'listeners.received': (sequence) => app.listeners.received({ ...one!, key: null, sequence }),
    'deadLetters.list': (sequence) => app.deadLetters.list({ after: { listener: 'a', sequence } }),
    'deadLetters.retry': (sequence) => app.deadLetters.retry({ listener: 'a', sequence }),
    events: (after) => drained(app.events({ after })),
    stream: (after) => drained(app.stream('a', after)),
    'outbox.inspect': (after) => app.outbox.inspect({ after }),
    'outbox.inspectEvent': (sequence) => app.outbox.inspectEvent({ sequence }),
    'outbox.inspectStream': (after) => app.outbox.inspectStream('a', { after }),
    'outbox.search': (after) => app.outbox.search({ after }),
    'outbox.trace': (sequence) => app.outbox.trace(sequence),
    'outbox.decode': (sequence) => app.outbox.decode(sequence),
    'outbox.count': (sequence) => app.outbox.count(sequence, sequence),
    toEventSequence: (value) => toEventSequence(value),
  }
  const none = [-1n, 1.5, Number.NaN, '', ' 1', '0x1', {}, [1n], true, 2n ** 63n, 2 ** 60, one]
  for (const [name, ask] of Object.entries(asked)) {
    for (const sequence of none) {
      const error = await errorOf(() => ask(sequence as never))
      expect({ name, sequence, error }).toMatchObject({
        error: { code: 'TIDEMARK_INVALID_OPTION' },
      })
    }
  }
})

test('no option reaches the server as a piece of a statement', async () => {
  await using app = appOn(database, [])
  const isolation = 'serializable; create table smuggled ()' as 'serializable'
  await expect(app.transaction(async () => {}, { isolation })).rejects.toMatchObject({
    code: 'TIDEMARK_INVALID_OPTION',
  })
  const { rows } = await database.query("select to_regclass('smuggled') as found")
  expect(rows).toEqual([{ found: null }])
})
