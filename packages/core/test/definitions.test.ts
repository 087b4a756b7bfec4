import { expect, test } from 'vitest'
import { z } from 'zod'
import {
  defineJob,
  type UpcasterChain,
  defineApp,
  defineEvent,
  defineListener,
  defineProjection,
  isTidemarkError,
  sequenceZero,
  toEventSequence,
} from '../src/index.ts'

const payload = z.object({ n: z.number() })
const counted = defineEvent('test.counted', { payload })

/** The error that the work throws, as its code, message and hint. */
function refusal(work: () => unknown): { code: string; text: string } {
  try {
    work()
  } catch (error) {
    if (!isTidemarkError(error)) throw error
    return { code: error.code, text: `${error.message} ${error.hint}` }
  }
  throw new Error('it was accepted')
}

test('an unknown option is refused, with the one that was meant', () => {
  const refusals = [
    refusal(() => defineEvent('e', { payload, versoin: 2 } as never)),
    refusal(() => defineListener('l', { batchsize: 3 } as never)),
    refusal(() => defineListener('l', { retry: { attemps: 3 } } as never)),
    refusal(() => defineProjection('p', { version: 1, inital: () => 0 } as never)),
    refusal(() => defineApp({ modules: [counted], shema: 's' } as never)),
  ]
  expect(refusals.map(({ code }) => code)).toEqual(Array(5).fill('TIDEMARK_INVALID_OPTION'))
  for (const [index, meant] of [
    'version',
    'batchSize',
    'attempts',
    'initial',
    'schema',
  ].entries()) {
    expect(refusals[index]?.text).toContain(`Did you mean "${meant}"?`)
  }
})

test('a value that cannot work is refused, and named', () => {
  const wrong: readonly [() => unknown, RegExp][] = [
    [() => defineEvent('with space', { payload }), /needs a name/],
    [() => defineEvent('e', { payload, version: 0 }), /"version" must be a whole number/],
    [() => defineListener('', {}), /needs a name/],
    [() => defineListener('l', { batchSize: 0 }), /"batchSize" must be a whole number/],
    [() => defineListener('l', { retry: { attempts: 1.5 } }), /"retry.attempts"/],
    [() => defineListener('l', { handlerTimeout: 'soon' as never }), /not a length of time/],
    [() => defineProjection('p', { version: 1 } as never), /neither state nor tables/],
    [() => defineProjection('p', { version: 1, tables: [] }), /neither state nor tables/],
    [() => defineApp({ modules: [{}] }), /defines no event, listener, projection or job/],
    [() => defineApp({ modules: [counted], maxConnections: 1 }), /"maxConnections"/],
  ]
  for (const [work, message] of wrong) {
    const { code, text } = refusal(work)
    expect(code).toBe('TIDEMARK_INVALID_OPTION')
    expect(text).toMatch(message)
  }
})

test('a chain of upcasters with a gap, or with one too many, is refused where it is defined', () => {
  const upcaster = (old: z.output<typeof payload>) => old
  expect(
    refusal(() => defineEvent('e', { payload, version: 3, upcast: { 1: upcaster } })).text,
  ).toMatch(/cannot read version 2/)
  expect(refusal(() => defineEvent('e', { payload, upcast: { 1: upcaster } })).text).toMatch(
    /upcaster from version 1, but its version is 1/,
  )
  expect(refusal(() => defineEvent('e', { payload: {} as never })).text).toMatch(/schema of zod 4/)
})

test('upcasters must answer what the next one takes, and the last one what the schema reads', () => {
  const options = { payload: z.object({ id: z.string(), cents: z.bigint() }), version: 3 }
  const first = (old: { account: string }) => ({ id: old.account })
  const second = (old: { id: string }) => ({ id: old.id, cents: 0n })
  const good = defineEvent('e', { ...options, upcast: { 1: first, 2: second } })
  expect(Object.keys(good.upcast)).toEqual(['1', '2'])
  // What an SQL publisher wrote, which is converted.
  defineEvent('e', { ...options, upcast: { 1: first, 2: () => ({ id: 'a', cents: '0' }) } })
  // A chain that was made elsewhere, of which the types know nothing.
  const made: UpcasterChain = { 1: first, 2: second }
  defineEvent('e', { ...options, upcast: made })

  const forgets = { 1: first, 2: ({ id }: { id: string }) => ({ id }) }
  // @ts-expect-error -- the last one forgets a field
  defineEvent('e', { ...options, upcast: forgets })
  const breaks = { 1: (old: { account: string }) => old, 2: second }
  // @ts-expect-error -- the first one answers what the second one does not take
  defineEvent('e', { ...options, upcast: breaks })
  const promises = { 1: first, 2: async (old: { id: string }) => second(old) }
  // @ts-expect-error -- a promise is no payload
  defineEvent('e', { ...options, upcast: promises })

  const job = { input: options.payload, version: 2, run: () => {}, upcast: { 1: second } }
  const state = z.object({ page: z.number() }).default({ page: 0 })
  defineJob('j', { ...job, state, upcastState: { 1: () => ({ page: 1 }) } })
  // @ts-expect-error -- an input is upcast like a payload
  defineJob('j', { ...job, upcast: { 1: first } })
  // @ts-expect-error -- and so is a state
  defineJob('j', { ...job, state, upcastState: { 1: () => ({ side: 1 }) } })
})

test('two definitions of one type, and two listeners of one name, are refused', () => {
  const again = defineEvent('test.counted', { payload })
  expect(refusal(() => defineApp({ modules: [{ counted, again }] })).code).toBe(
    'TIDEMARK_EVENT_REDEFINED',
  )
  const one = defineListener('same').on(counted, () => {})
  const other = defineProjection('same', { version: 1, initial: () => 0 }).on(counted, (n) => n)
  expect(refusal(() => defineApp({ modules: [{ one, other }] })).code).toBe('TIDEMARK_NAME_TAKEN')
  expect(refusal(() => one.on(counted, () => {})).text).toMatch(/handles test.counted already/)
  // The same definition in two modules is one definition.
  expect(() =>
    defineApp({
      modules: [
        { counted, one },
        { counted, one },
      ],
    }),
  ).not.toThrow()
})

test('a schema name that would need quoting is refused', () => {
  for (const schema of ['Ünicode', 'a"b', 'a b', '', '1a', 'pg_mine', 'x'.repeat(41)]) {
    expect(refusal(() => defineApp({ modules: [counted], schema })).code).toBe(
      'TIDEMARK_INVALID_SCHEMA_NAME',
    )
  }
})

test('an event is checked when it is made, and says what is wrong where', () => {
  const { code, text } = refusal(() => counted({ n: 'seven' as never }))
  expect(code).toBe('TIDEMARK_INVALID_EVENT')
  expect(text).toContain('invalid at n')
  expect(counted({ n: 7 })).toEqual({ definition: counted, payload: { n: 7 } })
})

test('definitions do not change: .on answers another one', () => {
  const listener = defineListener('l')
  const extended = listener.on(counted, () => {})
  expect([...listener.types]).toEqual([])
  expect([...extended.types]).toEqual(['test.counted'])
  expect(Object.isFrozen(counted)).toBe(true)
})

test('a sequence is read back from text, and nothing else is one', () => {
  expect(toEventSequence('9007199254740993')).toBe(9_007_199_254_740_993n)
  expect(toEventSequence(0)).toBe(sequenceZero)
  for (const none of [-1, '1.5', '', ' 1', '0x10', '-1', 2 ** 60, 2n ** 63n, null, true, [1n]]) {
    expect(refusal(() => toEventSequence(none as never)).code).toBe('TIDEMARK_INVALID_OPTION')
  }
})
