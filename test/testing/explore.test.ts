import { explore, type ExploreOptions, type Scenario } from '@tidemark/testing'
import { defineApp, defineEvent, defineJob, defineListener, silentLogger } from 'tidemark'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'

const noted = defineEvent('explored.noted', { payload: z.object({ n: z.number() }) })
const done: number[] = []
const work = defineJob('work', {
  input: z.object({ n: z.number() }),
  run: (job) => void done.push(job.input.n),
})
const stuck = defineListener('stuck').on(noted, () => new Promise<void>(() => {}))
const nowhere = { connectionString: 'postgres://nowhere', logger: silentLogger }
const app = defineApp({ modules: [noted, work], ...nowhere })
const scenario: Scenario = {
  before: () => void (done.length = 0),
  when: (it) => it.jobs.spawn(work, { n: 1 }),
  invariant: () => expect(new Set(done)).toEqual(new Set([1])),
}

afterEach(() => void vi.useRealTimers())

/** What explore says, and the code of its error. */
async function said(
  what: Partial<Record<keyof Scenario, unknown>> | undefined,
  options: Record<string, unknown> = {},
  on = app,
): Promise<string> {
  const outcome = await explore(on, what as Scenario, options as ExploreOptions).then(
    (answer) => JSON.stringify(answer),
    (error: unknown) => error as Error & { readonly code?: string },
  )
  return typeof outcome === 'string' ? outcome : `${outcome.code}: ${outcome.message}`
}

describe('what is no scenario, or no option, is refused before anything runs', () => {
  const when = (): void => {}
  const invariant = (): void => {}
  test.each<[string, Partial<Record<keyof Scenario, unknown>> | undefined, object, RegExp]>([
    ['nothing', undefined, {}, /the scenario is no object/],
    ['no invariant', { when }, {}, /has no function `invariant`/],
    ['a promise instead of a function', { when: Promise.resolve(), invariant }, {}, /`when`/],
    ['a name that is misspelt', { when, invariant, befor: when } as never, {}, /no option "befor"/],
    ['a before that is none', { when, invariant, before: 1 }, {}, /`before` is no function/],
    ['a budget that never ends', scenario, { budget: Infinity }, /`budget` of explore is Infinity/],
    ['a budget in words', scenario, { budget: '2s' }, /`budget` of explore is 2s/],
    ['no patience', scenario, { patience: 0 }, /`patience` of explore is 0/],
    ['a seed that is no number', scenario, { seed: Number.NaN }, /`seed` of explore is NaN/],
    [
      'a schedule of something else',
      scenario,
      { schedule: [{ kind: 'dies' }] },
      /no list of faults/,
    ],
    ['an option that there is not', scenario, { times: 3 }, /no option "times"/],
  ])('%s', async (_, what, options, expected) => {
    const words = await said(what, options as Record<string, unknown>)
    expect(words).toMatch(expected)
    expect(words).toMatch(/^TIDEMARK_TESTING_UNSUPPORTED/)
  })

  test('faked timers, by which nothing would ever go on', async () => {
    vi.useFakeTimers()
    expect(await said(scenario)).toMatch(/^TIDEMARK_TESTING_UNSUPPORTED.*useRealTimers/s)
  })
})

test('an application with jobs only is explored, also while a test fakes the date', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const found = await explore(app, scenario, { budget: 1 })
  expect(found.statements).toBeGreaterThan(0)
  expect(found.tried).toBe(1)
})

test('a scenario that fails or never ends is told apart from a promise that is broken', async () => {
  const boom = (): never => {
    throw new Error('boom')
  }
  expect(await said({ ...scenario, when: boom })).toMatch(
    /^TIDEMARK_TESTING_INVARIANT: the scenario fails without any fault: boom/,
  )
  const never = (): Promise<void> => new Promise(() => {})
  const short = { patience: 700 }
  expect(await said({ ...scenario, when: never }, short)).toMatch(
    /`when` did not end within 700 ms/,
  )
  expect(await said({ ...scenario, before: never }, short)).toMatch(/`before` did not end/)
  expect(await said({ when: () => {}, invariant: never }, short)).toMatch(/`invariant` did not end/)
})

test('a handler that never ends does not hang: workers do not come to rest', async () => {
  const on = defineApp({ modules: [noted, stuck], ...nowhere })
  const publishes: Scenario = { when: (it) => it.publish(noted({ n: 1 })), invariant: () => {} }
  expect(await said(publishes, { patience: 1_500 }, on)).toMatch(/stuck/)
})

test('what strikes nothing is not taken for success', async () => {
  expect(await said({ when: () => {}, invariant: () => {} }, { budget: 1 })).toMatch(
    /nowhere a fault could strike/,
  )
  const schedule = [{ kind: 'dies before', statement: 'INSERT INTO letters', nth: 1 }]
  expect(await said(scenario, { schedule })).toMatch(
    /not every fault of the schedule has struck\n {2}- dies before INSERT INTO letters/,
  )
})
