import { setTimeout as pause } from 'node:timers/promises'
import {
  defineApp,
  defineEvent,
  defineJob,
  defineListener,
  silentLogger,
  type App,
  type EventSequence,
  type Module,
} from 'tidemark'
import { z } from 'zod'
import { countAll, quantiles, timeEach, type Finding, type Limits } from './sample.ts'
import type { ThrowAwaySchema } from './throw-away-schema.ts'

const ticked = defineEvent('bench.ticked', { payload: z.object({ n: z.number() }) })
const callers = 32
const bulk = 1000
const jobsAtOnce = 1000
/** What a quiet application publishes. */
const quietRate = 50

/** One measurement in a schema of its own. */
export type Stage = (schema: ThrowAwaySchema, limits: Limits) => Promise<Finding[]>

/** In the order in which they are run: those that need a quiet database first. */
export const stages: readonly { readonly name: string; readonly run: Stage }[] = [
  { name: 'commits', run: commits },
  { name: 'latency', run: latency },
  { name: 'publishing', run: publishing },
  { name: 'listener', run: listening },
  { name: 'jobs', run: jobs },
]

function appIn({ connection, name }: ThrowAwaySchema, modules: readonly Module[]): App {
  return defineApp({ ...connection, schema: name, modules, logger: silentLogger })
}

/** What the network and the disk cost by themselves. */
async function commits(schema: ThrowAwaySchema, limits: Limits): Promise<Finding[]> {
  await using app = appIn(schema, [ticked])
  const table = `"${schema.name}".plain`
  await app.transaction(async (tx) => tx.query(`CREATE TABLE ${table} (n integer)`))
  const short = { ...limits, duration: limits.duration / 2 }
  return [
    await timeEach('a transaction that only reads', short, () =>
      app.transaction(async (tx) => tx.query('SELECT 1')),
    ),
    await timeEach('a transaction that writes a row', short, () =>
      app.transaction(async (tx) => tx.query(`INSERT INTO ${table} VALUES (1)`)),
    ),
  ]
}

/** From the call of publish to the commit of the listener, at a quiet application's rate. */
async function latency(schema: ThrowAwaySchema, limits: Limits): Promise<Finding[]> {
  const listener = defineListener('bench.latency').on(ticked, () => {})
  await using app = appIn(schema, [ticked, listener])
  await using _ = await app.start({ handleSignals: false })
  const { sequence } = await app.publish(ticked({ n: 0 }))
  await app.waitFor(listener, sequence, { timeout: '30s' })
  const times: number[] = []
  const deadline = performance.now() + limits.duration
  while (performance.now() < deadline && !limits.stopped.aborted) {
    const started = performance.now()
    const published = await app.publish(ticked({ n: 1 }))
    await app.waitFor(listener, published.sequence, { timeout: '30s' })
    const took = performance.now() - started
    times.push(took)
    await pause(Math.max(0, 1000 / quietRate - took), undefined, { signal: limits.stopped }).catch(
      () => {},
    )
  }
  return [
    { what: `publish to handled, up to ${quietRate} a second`, rate: null, ...quantiles(times) },
  ]
}

async function publishing(schema: ThrowAwaySchema, limits: Limits): Promise<Finding[]> {
  await using app = appIn(schema, [ticked])
  const third = { ...limits, duration: limits.duration / 3 }
  const drafts = Array.from({ length: bulk }, (_, n) => ticked({ n }))
  return [
    await timeEach('publish one event after the other', third, () => app.publish(ticked({ n: 1 }))),
    await countAll(`publish by ${callers} callers`, third, callers, async () => {
      await app.publish(ticked({ n: 1 }))
      return 1
    }),
    await countAll(`publish lists of ${bulk}`, third, 2, async () => {
      await app.publish(drafts)
      return bulk
    }),
  ]
}

/** How fast a listener whose handler does nothing reads what was published before. */
async function listening(schema: ThrowAwaySchema, limits: Limits): Promise<Finding[]> {
  let handled = 0
  const begun = Promise.withResolvers<void>()
  const full = Promise.withResolvers<void>()
  let last: EventSequence | undefined
  const listener = defineListener('bench.listener').on(ticked, (event) => {
    handled += 1
    begun.resolve()
    if (event.sequence === last) full.resolve()
  })
  await using app = appIn(schema, [ticked, listener])
  const { events } = await app.outbox.inspect({ limit: 1 })
  if (events.length === 0) return []
  last = (await app.publish(ticked({ n: 0 }))).sequence
  const runner = await app.start({ handleSignals: false, jobs: false })
  const rate = await rateOf(() => handled, begun.promise, full.promise, limits)
  await runner.stop()
  return [{ what: 'a listener that catches up', rate, p50: null, p99: null }]
}

async function jobs(schema: ThrowAwaySchema, limits: Limits): Promise<Finding[]> {
  let done = 0
  let all = 0
  const begun = Promise.withResolvers<void>()
  const empty = Promise.withResolvers<void>()
  const nothing = defineJob('bench.nothing', {
    input: z.object({ n: z.number() }),
    run: () => {
      done += 1
      begun.resolve()
      if (done >= all) empty.resolve()
    },
  })
  await using app = appIn(schema, [nothing])
  const third = { ...limits, duration: limits.duration / 3 }
  const spawned = await countAll(
    `spawn jobs, ${jobsAtOnce} in a transaction`,
    third,
    1,
    async () => {
      await app.transaction(async (tx) => {
        for (let n = 0; n < jobsAtOnce; n++) await tx.spawn(nothing, { n })
      })
      all += jobsAtOnce
      return jobsAtOnce
    },
  )
  const runner = await app.start({ handleSignals: false })
  const rate = await rateOf(() => done, begun.promise, empty.promise, third)
  await runner.stop()
  // What is left would stand before those whose time is taken.
  await app.transaction(async (tx) => tx.query(`DELETE FROM "${schema.name}".jobs`))
  await using _ = await app.start({ handleSignals: false })
  const one = await timeEach('spawn to result, one after the other', third, async () =>
    (await app.jobs.spawn(nothing, { n: 1 })).result({ timeout: '30s' }),
  )
  return [spawned, { what: 'jobs that do nothing', rate, p50: null, p99: null }, one]
}

/** How many a second from the first one on: how long a runner takes to start does not count. */
async function rateOf(
  counted: () => number,
  begun: Promise<void>,
  over: Promise<void>,
  { duration, stopped }: Limits,
): Promise<number> {
  await Promise.race([begun, aborted(stopped)])
  const before = counted()
  const started = performance.now()
  // Node waits no longer.
  const end = AbortSignal.any([stopped, AbortSignal.timeout(Math.min(duration, 2_147_483_647))])
  await Promise.race([over, aborted(end)])
  // What came first may have come all at once, and nothing after it yet where the machine has other things to do.
  let ended = false
  void over.finally(() => {
    ended = true
  })
  while (counted() === before && !ended && !stopped.aborted) await pause(10)
  return ((counted() - before) / (performance.now() - started)) * 1000
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
