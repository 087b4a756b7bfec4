import type { App } from 'tidemark'
import { realNow, requireRealTimers } from '../kit/real-time.ts'
import { TestingError } from '../testing-error.ts'
import { byPromise, faultKinds, type ExploredFault } from './boundary.ts'
import { Draw } from './draw.ts'
import { checkOptions, checkScenario } from './given.ts'
import type { Scenario } from './scenario.ts'
import { tell } from './telling.ts'

/** How long is explored, and where it begins. */
export interface ExploreOptions {
  /** Decides the order in which faults are tried. Defaults to 1. */
  readonly seed?: number
  /** How long schedules are tried, in milliseconds. Defaults to 30000. */
  readonly budget?: number
  /** How long one telling may take to come to rest, in milliseconds. Defaults to 20000. */
  readonly patience?: number
  /** Tries this schedule and no other: one that was found before. */
  readonly schedule?: readonly ExploredFault[]
}

/** What was tried, when nothing was found. */
export interface Exploration {
  readonly seed: number
  /** How many schedules were tried. */
  readonly tried: number
  /** How many statements of the workers there are at which a fault may strike. */
  readonly statements: number
  /** Whether each fault was tried alone at each of them. */
  readonly complete: boolean
}

/**
 * Runs handlers, jobs and projections of an application while their process dies, or loses a connection, before and
 * after each statement that they send: first one fault at a time, then several. Each schedule has a database of its own.
 * The application's own connection is not used.
 *
 * @returns what was tried.
 * @throws TestingError TIDEMARK_TESTING_UNSUPPORTED for a scenario or options that are none, where timers are faked, for a
 * schedule whose statements are not sent, and for a scenario after which workers send nothing.
 * @throws TestingError TIDEMARK_TESTING_INVARIANT with the shortest schedule under which the scenario's invariant does
 * not hold, or under which workers do not come to rest.
 *
 * @example
 * ```ts
 * import { explore } from '@tidemark/testing'
 *
 * const letters: string[] = []
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const letter = defineJob('letter', {
 *   input: z.object({ to: z.string() }),
 *   run: (job, ctx) => ctx.step('send', () => letters.push(job.input.to)),
 * })
 * const welcome = defineListener('welcome').on(opened).spawn(letter, (e) => ({ to: e.payload.id }))
 * const app = defineApp({ modules: [opened, welcome], connectionString: 'postgres://localhost/app' })
 *
 * // Fails: a step that has sent its letter is run again when its process dies before it is written down.
 * await explore(app, {
 *   before: () => void (letters.length = 0),
 *   when: (it) => it.publish(opened({ id: 'a-1' })),
 *   invariant: async () => {
 *     if (letters.length !== 1) throw new Error(`${letters.length} letters were sent`)
 *   },
 * })
 * ```
 */
export async function explore(
  app: App,
  scenario: Scenario,
  options: ExploreOptions = {},
): Promise<Exploration> {
  checkScenario(scenario)
  checkOptions(options)
  requireRealTimers('explore')
  const { seed = 1, budget = 30_000, patience = 20_000, schedule } = options
  let tried = 0
  const holds = async (faults: readonly ExploredFault[]): Promise<unknown> => {
    tried += 1
    const { error } = await tell(app, scenario, faults, patience)
    return error
  }
  if (schedule !== undefined) {
    tried += 1
    const { error, struck } = await tell(app, scenario, schedule, patience)
    if (error !== undefined) throw broken(schedule, error, seed)
    if (!struck) throw missed(schedule)
    return { seed, tried, statements: 0, complete: false }
  }

  const { seen, error: alone } = await tell(app, scenario, [], patience)
  if (alone !== undefined) throw broken([], alone, seed)
  const { seen: idle } = await tell(app, { ...scenario, ...silence }, [], patience)
  const points = [...seen].flatMap(([statement, times]) =>
    idle.has(statement)
      ? []
      : Array.from({ length: Math.min(times, 3) }, (_, n) => ({ statement, nth: n + 1 })),
  )
  if (points.length === 0) throw nothingToStrike()
  const draw = new Draw(seed)
  const deadline = realNow() + budget
  const singles = draw
    .shuffled(
      faultKinds.flatMap((kind) => points.map((point): ExploredFault => ({ kind, ...point }))),
    )
    .toSorted(byPromise)
  for (const fault of singles) {
    if (tried > 0 && realNow() > deadline) break
    const error = await holds([fault])
    if (error !== undefined) throw broken([fault], error, seed)
  }
  const complete = tried >= singles.length
  while (complete && realNow() < deadline) {
    const faults = draw.shuffled(singles).slice(0, draw.whole(2, 4))
    const error = await holds(faults)
    if (error !== undefined) {
      const shortest = await shorten(faults, holds)
      throw broken(shortest.faults, shortest.error ?? error, seed)
    }
  }
  return { seed, tried, statements: points.length, complete }
}

const silence = { when: async (): Promise<void> => {}, invariant: async (): Promise<void> => {} }

/** Leaves out what is not needed for the invariant to break. */
async function shorten(
  faults: readonly ExploredFault[],
  holds: (faults: readonly ExploredFault[]) => Promise<unknown>,
): Promise<{ readonly faults: readonly ExploredFault[]; readonly error: unknown }> {
  let shortest: { faults: readonly ExploredFault[]; error: unknown } = { faults, error: undefined }
  for (const fault of faults) {
    const fewer = shortest.faults.filter((one) => one !== fault)
    const error = fewer.length === 0 ? undefined : await holds(fewer)
    if (error !== undefined) shortest = { faults: fewer, error }
  }
  return shortest
}

function missed(schedule: readonly ExploredFault[]): TestingError {
  const lines = schedule.map(({ kind, statement, nth }) => `  - ${kind} ${statement} (${nth})`)
  return new TestingError(
    'TIDEMARK_TESTING_UNSUPPORTED',
    ['not every fault of the schedule has struck', ...lines].join('\n'),
    'The scenario or the library has changed since it was found: workers no longer send these statements. Explore without a schedule.',
  )
}

function nothingToStrike(): TestingError {
  return new TestingError(
    'TIDEMARK_TESTING_UNSUPPORTED',
    'workers send nothing that comes of the scenario: there is nowhere a fault could strike',
    '`when` must publish an event that a listener or projection of the application handles, or spawn a job of it, and await that. What it does itself is never struck.',
  )
}

function broken(faults: readonly ExploredFault[], error: unknown, seed: number): TestingError {
  const reason = error instanceof Error ? error.message : String(error)
  const lines = faults.map(({ kind, statement, nth }, index) => {
    const which = nth === 1 ? '' : ` (number ${nth} of these)`
    const subject = kind.startsWith('dies') ? 'the process' : 'it'
    return `  ${index + 1}. ${subject} ${kind} ${statement}${which}`
  })
  const message =
    faults.length === 0
      ? [`the scenario fails without any fault: ${reason}`]
      : [
          `the invariant does not hold when`,
          ...lines,
          `It says: ${reason}`,
          `To repeat it: explore(app, scenario, { schedule: ${JSON.stringify(faults)} }), or seed ${seed}`,
        ]
  return new TestingError(
    'TIDEMARK_TESTING_INVARIANT',
    message.join('\n'),
    faults.length === 0
      ? 'Mend the scenario first.'
      : 'What a handler does with its own connection commits once. What it does elsewhere is done again after a fault: give it an id that stays the same, and let the other side refuse the second.',
    error,
  )
}
