import fc from 'fast-check'
import type { Duration } from 'tidemark'

/** What a random job does: a tree of branches, and leaves that are told apart by their numbers. */
export type Plan =
  | {
      readonly do: 'step' | 'transaction' | 'child'
      readonly id: number
      readonly value: number
      readonly fails: number
    }
  | {
      readonly do: 'throw' | 'step that throws' | 'child that fails'
      readonly id: number
      readonly value: number
    }
  | { readonly do: 'unstorable'; readonly id: number }
  | { readonly do: 'sleep' | 'event' | 'signal'; readonly id: number; readonly for: Duration }
  | { readonly do: Branching; readonly id: number; readonly plans: readonly Plan[] }

export type Branching =
  | 'all'
  | 'map'
  | 'race'
  | 'any'
  | 'allSettled'
  | 'sequence'
  | 'catch'
  | 'finally'

/** What a plan came to: a value, or an error's label. */
export type Outcome = { readonly ok: unknown } | { readonly error: string }

/** Makes things that may be thrown. */
export const thrown: readonly ((label: string) => unknown)[] = [
  (label) => new Error(label),
  (label) => Object.assign(new RangeError(label), { code: 'ODD', status: 500 }),
  (label) => {
    const error: Error & { cause?: unknown } = new Error(label)
    error.cause = error
    return error
  },
  (label) => new AggregateError([new Error('one'), null], label),
  () => undefined,
  () => null,
  () => Number.NaN,
  () => Symbol('odd'),
  () => 10n,
  () => 'text\u0000\uD800',
  () => () => {},
  () => Object.create(null) as unknown,
  () => ({
    get message(): string {
      throw new Error('no message')
    },
  }),
  () =>
    new Proxy(
      {},
      {
        get: () => {
          throw new Error('no field')
        },
        getPrototypeOf: () => {
          throw new Error('no prototype')
        },
      },
    ),
]

/** Whatever somebody may throw that nobody has thought of, made anew from a number. */
export function anythingThrown(value: number): unknown {
  return fc.sample(whatever, { numRuns: 1, seed: value })[0]
}

const whatever = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
})

/** Odd names, told apart by the number of what they name. */
export function nameOf({ do: what, id }: Plan, odd: number): string {
  return `${oddities[(odd + id) % oddities.length]}${what} ${id}`
}

const oddities: readonly string[] = [
  '',
  '__proto__',
  'constructor ',
  'e\u0301',
  'é',
  ' \t\n',
  '\u{1F469}\u200D\u{1F680}',
  "'; drop table jobs; --",
  '{"a": [1]}',
  '%s $1 \\',
  'x'.repeat(400),
]

/** What may be answered and stored. */
export const answered: readonly unknown[] = [
  null,
  undefined,
  0,
  '',
  'text',
  -1n,
  new Date(0),
  [1, [2, { three: 3 }]],
  new Map([['a', new Set([1])]]),
  new Uint8Array([1, 2]),
]

const number = fc.nat(1_000)
const leaf: fc.Arbitrary<Plan> = fc.oneof(
  { weight: 6, arbitrary: effectful('step') },
  { weight: 2, arbitrary: effectful('transaction') },
  { weight: 2, arbitrary: effectful('child') },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'throw' as const,
        'step that throws' as const,
        'child that fails' as const,
      ),
      id: fc.constant(0),
      value: number,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('unstorable' as const), id: fc.constant(0) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('sleep' as const, 'event' as const, 'signal' as const),
      id: fc.constant(0),
      for: fc.constantFrom<Duration>(0, 5, 40, 90, 0.25, 5e-324, '7ms', '0.02s', '0.001m'),
    }),
  },
)

function effectful(what: 'step' | 'transaction' | 'child'): fc.Arbitrary<Plan> {
  return fc.record({
    do: fc.constant(what),
    id: fc.constant(0),
    value: number,
    fails: what === 'step' ? fc.constantFrom(0, 0, 1, 2) : fc.constant(0),
  })
}

function branches(depth: number): fc.Arbitrary<Plan> {
  const plan =
    depth === 0
      ? leaf
      : fc.oneof({ weight: 1, arbitrary: leaf }, { weight: 2, arbitrary: branches(depth - 1) })
  return fc.record({
    do: fc.constantFrom<Branching>(
      'all',
      'map',
      'race',
      'any',
      'allSettled',
      'sequence',
      'catch',
      'finally',
    ),
    id: fc.constant(0),
    plans: fc.array(plan, { minLength: 2, maxLength: 3 }),
  })
}

/** Plans with branches to a depth of three, whose parts are numbered. */
export const plans: fc.Arbitrary<Plan> = branches(2).map((plan) => {
  let last = 0
  const numbered = (one: Plan): Plan => {
    const id = (last += 1)
    return 'plans' in one ? { ...one, id, plans: one.plans.map(numbered) } : { ...one, id }
  }
  return numbered(plan)
})

/** All leaves and branches of a plan. */
export function* partsOf(plan: Plan): Generator<Plan> {
  yield plan
  if ('plans' in plan) for (const one of plan.plans) yield* partsOf(one)
}
