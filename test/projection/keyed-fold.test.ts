import fc from 'fast-check'
import {
  defineEvent,
  defineProjection,
  type App,
  type EventSequence,
  type KeyedProjection,
} from 'tidemark'
import { expect, test, vi } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

vi.setConfig({ testTimeout: 240_000 })

const database = useFreshDatabase()

const changed = defineEvent('test.changed', {
  payload: z.object({ item: z.string(), by: z.number().int() }),
})
const removed = defineEvent('test.removed', { payload: z.object({ item: z.string() }) })

type State = { sum: bigint; readonly steps: number[]; last: Date } | null

interface Step {
  readonly item: string
  /** How the item changes; null: it is removed. */
  readonly by: number | null
}

const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + Math.abs(n)))

/** The model: pure. */
function step(state: State, by: number): State {
  // Zero makes the state null, which is a state like any other.
  if (by === 0) return null
  return {
    sum: (state?.sum ?? 0n) + BigInt(by),
    steps: [...(state?.steps ?? []), by],
    last: day(by),
  }
}

const initial = (): State => ({ sum: 100n, steps: [], last: day(0) })

function fold(steps: readonly Step[]): Map<string, State> {
  const states = new Map<string, State>()
  for (const { item, by } of steps) {
    if (by === null) states.delete(item)
    else states.set(item, step(states.has(item) ? (states.get(item) as State) : initial(), by))
  }
  return states
}

/** How a run goes: how the projection is cut up, and at which of its events it fails once. */
interface Run {
  readonly steps: readonly Step[]
  readonly batchSize: number
  readonly partitions: number
  readonly cacheSize: number
  readonly failAt: readonly number[]
}

function items(
  { batchSize, partitions, cacheSize, failAt }: Run,
  name: string,
): KeyedProjection<State> {
  const toFail = new Set(failAt)
  let reduced = 0
  const stumble = (): void => {
    reduced += 1
    if (toFail.delete(reduced)) throw new Error('stumbled')
  }
  return defineProjection<State>(name, {
    version: 1,
    keyed: true,
    batchSize,
    partitions,
    cacheSize,
    initial,
    retry: { attempts: 20, backoff: () => 1 },
  })
    .on(
      changed,
      (state, { payload: { by } }) => {
        // It should be pure. If it is not, what it changed before it failed must not stay.
        const next = state === null || by === 0 ? step(state, by) : state
        if (next === state && next !== null) {
          next.sum += BigInt(by)
          next.steps.push(by)
          next.last = day(by)
        }
        stumble()
        return next
      },
      { key: (event) => event.payload.item },
    )
    .on(
      removed,
      () => {
        stumble()
        return undefined
      },
      { key: (event) => event.payload.item },
    )
}

const runs: fc.Arbitrary<Run> = fc.record({
  steps: fc.array(
    fc.record({
      item: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'ключ 🗝', ''),
      by: fc.option(fc.integer({ min: -3, max: 3 }), { freq: 5 }),
    }),
    { minLength: 1, maxLength: 60, size: 'max' },
  ),
  batchSize: fc.constantFrom(1, 2, 7, 1_000),
  partitions: fc.integer({ min: 1, max: 4 }),
  cacheSize: fc.constantFrom(0, 1, 3, 10_000),
  failAt: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 3, size: 'max' }),
})

async function publish(app: App, steps: readonly Step[]): Promise<EventSequence> {
  const published = await app.publish(
    steps.map(({ item, by }) => (by === null ? removed({ item }) : changed({ item, by }))),
  )
  return published.at(-1)?.sequence as EventSequence
}

test('for any events, batch sizes, partitions, cache sizes, removals and failures: the keyed projection is the pure fold', async () => {
  let attempt = 0
  await fc.assert(
    fc.asyncProperty(runs, async (run) => {
      await database.query('truncate tidemark.events, tidemark.listeners cascade')
      const projection = items(run, `items.${++attempt}`)
      await using app = appOn(database, [projection])
      // Some are there already, some come while it runs, and its memory is lost in between.
      const half = Math.ceil(run.steps.length / 2)
      const middle = await publish(app, run.steps.slice(0, half))
      {
        await using _ = await app.start({ handleSignals: false, acquireInterval: 20 })
        await app.waitFor(projection, middle)
      }
      const rest = run.steps.slice(half)
      await using _ = await app.start({ handleSignals: false, acquireInterval: 20 })
      if (rest.length > 0) await app.waitFor(projection, await publish(app, rest))

      const expected = fold(run.steps)
      const listed = await app.list(projection)
      expect(new Map(listed.map(({ key, state }) => [key, state]))).toEqual(expected)
      for (const item of ['a', 'b', '']) {
        const state = expected.has(item) ? expected.get(item) : initial()
        expect(await app.read(projection, item)).toEqual(state)
      }
    }),
    { numRuns: 25, endOnFailure: true },
  )
})

test('null is a state like any other, in memory and when it is loaded', async () => {
  for (const [index, cacheSize] of [0, 10].entries()) {
    const run = { batchSize: 1, partitions: 1, cacheSize, failAt: [] }
    const steps = [0, 2].map((by) => ({ item: 'a', by }))
    const projection = items({ ...run, steps }, `items.${index}`)
    await using app = appOn(database, [projection])
    await app.start({ handleSignals: false })
    await app.waitFor(projection, await publish(app, steps))
    expect(await app.read(projection, 'a')).toEqual(step(null, 2))
    await database.query('truncate tidemark.events')
  }
})

test('a key that is no text is named, in however many partitions', async () => {
  for (const partitions of [1, 2]) {
    const projection = defineProjection(`numbered.${partitions}`, {
      version: 1,
      keyed: true,
      partitions,
      retry: { attempts: 1 },
      initial: () => 0,
    }).on(removed, (count) => count + 1, { key: () => 7 as never })
    await using app = appOn(database, [projection])
    await app.start({ handleSignals: false })
    const { sequence } = await app.publish(removed({ item: 'x' }))
    const waiting = app.waitFor(projection, sequence, { timeout: '30s' })
    await expect(waiting).rejects.toMatchObject({ code: 'TIDEMARK_LISTENER_HALTED' })
    const { partitions: found } = await app.listeners.get(projection.name)
    const messages = found.map(({ lastError }) => lastError?.message ?? '')
    expect(messages.join()).toContain('needs a text as the key for test.removed, not 7')
  }
})

test('keys are listed in pages, in their order', async () => {
  const projection = items(
    { steps: [], batchSize: 10, partitions: 2, cacheSize: 2, failAt: [] },
    'items',
  )
  await using app = appOn(database, [projection])
  await app.start({ handleSignals: false })
  const keys = Array.from({ length: 25 }, (_, n) => `key ${String(n).padStart(2, '0')}`)
  await app.waitFor(
    projection,
    await publish(
      app,
      keys.map((item) => ({ item, by: 1 })),
    ),
  )
  const found: string[] = []
  for (let after: string | undefined; ; after = found.at(-1)) {
    const page = await app.list(projection, {
      limit: 10,
      ...(after === undefined ? {} : { after }),
    })
    if (page.length === 0) break
    found.push(...page.map(({ key }) => key))
  }
  expect(found).toEqual(keys)
})
