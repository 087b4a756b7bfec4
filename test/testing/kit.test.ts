import { AssertionError } from 'node:assert'
import { drain, foldEvents, given, skipBackoff, waitForIdle, withOptions } from '@tidemark/testing'
import {
  defineEntity,
  defineEvent,
  defineListener,
  defineProjection,
  exponential,
  type App,
  type StateProjection,
} from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

const submitted = defineEvent('loans.submitted', {
  payload: z.object({ loanId: z.string(), cents: z.bigint() }),
})
const approved = defineEvent('loans.approved', { payload: z.object({ loanId: z.string() }) })
const paidOut = defineEvent('loans.paid_out', {
  payload: z.object({ loanId: z.string(), at: z.date() }),
})

/** A process of two steps: what one handler publishes the other handles. */
const approval = defineListener('approval', { onFailure: 'park', retry: { attempts: 2 } })
  .on(submitted, (event, { publish }) => {
    const { loanId, cents } = event.payload
    if (cents <= 0n) throw new Error('that is no loan')
    publish(approved({ loanId }), { stream: `loan-${loanId}` })
  })
  .on(approved, async (event, { tx, publish }) => {
    await tx.query('insert into loans values ($1)', [event.payload.loanId])
    publish(paidOut({ loanId: event.payload.loanId, at: event.recordedAt }))
  })

const lent = defineProjection('lent', { version: 1, initial: () => 0n }).on(
  submitted,
  (cents, event) => cents + event.payload.cents,
)
const loans = defineProjection('loans', { version: 1, keyed: true, initial: () => ['new'] })
  .on(submitted, (steps) => [...steps, 'submitted'], { key: (event) => event.payload.loanId })
  .on(approved, (steps) => [...steps, 'approved'], { key: (event) => event.payload.loanId })
  .on(paidOut, () => undefined, { key: (event) => event.payload.loanId })

const loan = defineEntity('loan', { initial: () => ({ cents: 0n, approved: false }) })
  .on(submitted, (state, event) => ({ ...state, cents: event.payload.cents }))
  .on(approved, (state) => ({ ...state, approved: true }))

async function bank(...consumers: readonly object[]): Promise<App> {
  await database.query('create table if not exists loans (id text not null)')
  return appOn(database, [submitted, approved, paidOut, ...consumers])
}

test('given events, when an event: what its listeners published, wrote and folded is the outcome', async () => {
  await using app = await bank(approval, lent)
  const outcome = await given(app, [submitted({ loanId: 'before', cents: 5n })]).when(
    submitted({ loanId: 'l-1', cents: 2n }),
  )
  expect(outcome.published).toHaveLength(2)
  const at = outcome.published[1]?.payload as { readonly at: Date }
  outcome.thenPublished(approved({ loanId: 'l-1' }), paidOut({ loanId: 'l-1', at: at.at }))
  await outcome.thenState(lent, 7n)
  await outcome.thenRows('select id from loans order by id', [{ id: 'before' }, { id: 'l-1' }])
  await outcome.thenDeadLetters(approval)
})

test('what differs is shown as a difference, with bigints and dates as they are', async () => {
  await using app = await bank(approval, lent)
  const outcome = await given(app, []).when(submitted({ loanId: 'l-1', cents: 2n }))
  const wrong = (): unknown => outcome.thenPublished(approved({ loanId: 'l-2' }))
  expect(wrong).toThrowError(AssertionError)
  expect(wrong).toThrowError(/\+.*loanId: 'l-1'[^]*-.*loanId: 'l-2'/)
  await expect(outcome.thenState(lent, 3n)).rejects.toThrowError(/2n[^]*3n/)
  await expect(outcome.thenRows('select id from loans', [])).rejects.toThrowError(AssertionError)
})

test('given an entity and a command: it is decided on the past, or refused with its error', async () => {
  await using app = await bank()
  const past = [
    withOptions(submitted({ loanId: 'l-1', cents: 100n }), { stream: loan.streamOf('l-1') }),
  ]
  const approve = (it: App): Promise<unknown> =>
    it.decide(loan, 'l-1', (state) => {
      if (state.approved) throw new Error('it is approved already')
      return approved({ loanId: 'l-1' })
    })
  await using runner = await app.start({ handleSignals: false })
  const first = await given(app, past).when(approve)
  first.thenPublished(approved({ loanId: 'l-1' }))
  await first.thenEntity(loan, 'l-1', { cents: 100n, approved: true })

  const second = await given(app, []).when(approve)
  second.thenFailed(/approved already/)
  expect(() => second.thenPublished()).toThrowError('it is approved already')
  expect(() => first.thenFailed(/whatever/)).toThrowError('the command succeeded')
  expect(runner.partitions).toEqual([])
})

test('a listener that sets an event aside: the outcome names it', async () => {
  await using app = await bank(approval)
  using _ = skipBackoff(app)
  const outcome = await given(app, []).when([
    submitted({ loanId: 'bad', cents: 0n }),
    submitted({ loanId: 'good', cents: 1n }),
  ])
  await outcome.thenDeadLetters(approval, { type: submitted.type, message: 'that is no loan' })
  await outcome.thenRows('select id from loans', [{ id: 'good' }])
  await expect(outcome.thenDeadLetters(approval)).rejects.toThrowError(AssertionError)
})

test('projections and entities are folded without a database', () => {
  const past = [
    submitted({ loanId: 'a', cents: 5n }),
    submitted({ loanId: 'b', cents: 7n }),
    approved({ loanId: 'b' }),
    paidOut({ loanId: 'a', at: new Date(0) }),
  ]
  expect(foldEvents(lent, past)).toBe(12n)
  expect(foldEvents(loans, past)).toEqual(new Map([['b', ['new', 'submitted', 'approved']]]))
  expect(foldEvents(loan, past)).toEqual({ cents: 7n, approved: true })
})

test('what would halt a projection fails where it is folded without a database, too', () => {
  const base = { version: 1, initial: () => ({ n: 0, names: [] as string[] }) }
  const shared = { n: 0, names: [] as string[] }
  const adding = defineProjection('adding', { ...base, keyed: true, initial: () => shared }).on(
    submitted,
    (state, { payload }) => {
      state.n += Number(payload.cents)
      return state
    },
    { key: ({ payload }) => payload.loanId },
  )
  const past = [submitted({ loanId: 'a', cents: 1n }), submitted({ loanId: 'b', cents: 2n })]
  for (let times = 0; times < 2; times++) {
    const each = [...foldEvents(adding, past)].map(([key, { n }]) => [key, n])
    expect(each).toEqual([
      ['a', 1],
      ['b', 2],
    ])
  }
  class Total {
    n = 0
  }
  const limited = { ...base, state: z.object({ n: z.number().max(1), names: z.array(z.string()) }) }
  const failing: readonly [string, StateProjection<unknown>][] = [
    [
      'TIDEMARK_INVALID_STATE',
      defineProjection('limited', limited).on(submitted, (s) => ({ ...s, n: 2 })),
    ],
    [
      'TIDEMARK_INVALID_STATE',
      defineProjection('silent', base).on(submitted, (() => undefined) as never),
    ],
    [
      'TIDEMARK_PAYLOAD_NOT_STORABLE',
      defineProjection('classy', base).on(submitted, (() => new Total()) as never),
    ],
  ] as never
  for (const [code, projection] of failing) {
    expect(() => foldEvents(projection, past)).toThrow(expect.objectContaining({ code }))
  }
  const vandal = defineProjection('vandal', base).on(submitted, (state, event) => {
    Object.assign(event.payload, { cents: 0n })
    return state
  })
  expect(() => foldEvents(vandal, past)).toThrow(TypeError)
  const numbered = defineProjection('numbered', { ...base, keyed: true }).on(submitted, (s) => s, {
    key: () => 7 as never,
  })
  expect(() => foldEvents(numbered, past)).toThrow('needs a text as the key')
  const forgetful = defineEntity('forgetful', { initial: () => 0 }).on(
    submitted,
    (() => {}) as never,
  )
  expect(() => foldEvents(forgetful, past)).toThrow(
    expect.objectContaining({ code: 'TIDEMARK_INVALID_STATE' }),
  )
  const versions = defineEntity('versions', { initial: () => [] as unknown[] }).on(
    submitted,
    (seen, { stream, streamVersion }) => [...seen, stream, streamVersion],
  )
  const placed = ['one', 'two', 'one'].map((stream) => withOptions(past[0]!, { stream }))
  expect(foldEvents(versions, placed)).toEqual(['one', 1n, 'two', 1n, 'one', 2n])
})

test('drain runs until everything is handled, with what handlers publish, and leaves nothing running', async () => {
  await using app = await bank(approval, lent, loans)
  for (let n = 1; n <= 5; n++) await app.publish(submitted({ loanId: `l-${n}`, cents: 1n }))
  const last = await drain(app)
  expect(last).toBe(15n)
  expect(await app.list(loans)).toEqual([])
  expect((await database.query('select from loans')).rowCount).toBe(5)
  expect((await database.query('select from tidemark.processes')).rowCount).toBe(0)
  expect(await drain(app)).toBe(last)
})

test('a retried dead letter is waited for', async () => {
  let broken = true
  const moody = defineListener('moody', { onFailure: 'park', retry: { attempts: 1 } }).on(
    approved,
    async (_, { tx }) => {
      if (broken) throw new Error('not now')
      await tx.query(`insert into loans values ('late')`)
    },
  )
  await using app = await bank(moody)
  await app.publish(approved({ loanId: 'late' }))
  await using _ = await app.start({ handleSignals: false, acquireInterval: 50 })
  await waitForIdle(app)
  broken = false
  await app.deadLetters.retry({ listener: 'moody' })
  await waitForIdle(app)
  expect((await database.query('select id from loans')).rows).toEqual([{ id: 'late' }])
})

test('a listener that halts ends the wait at once, with its error; one that is behind is named when the time is over', async () => {
  let broken = true
  const halting = defineListener('halting', { retry: { attempts: 1 } }).on(approved, async () => {
    throw new Error('no such letter box')
  })
  const waiting = defineListener('waiting', { retry: { backoff: () => 60_000 } }).on(
    submitted,
    async () => {
      if (broken) throw new Error('the printer is off')
    },
  )
  await using app = await bank(halting, waiting)
  await expect(waitForIdle(app)).rejects.toMatchObject({
    code: 'TIDEMARK_TESTING_NOT_IDLE',
    message: expect.stringContaining('no process runs listeners') as string,
  })
  await app.publish(submitted({ loanId: 'l-1', cents: 1n }))
  await expect(drain(app, { timeout: 1_000 })).rejects.toThrowError(
    /work left after 1000 ms\n {2}- waiting: at 0 of 1; 1 attempts failed; the printer is off/,
  )
  broken = false
  await app.publish(approved({ loanId: 'l-1' }))
  await expect(drain(app, { timeout: 60_000 })).rejects.toThrowError(
    /has halted\n {2}- halting: at \d of 2; 1 attempts failed; no such letter box/,
  )
})

test('backoff is skipped, and what it would have been is noted; the definitions are put back', async () => {
  let failures = 4
  const moody = defineListener('moody', { retry: { backoff: exponential('1m', '1h') } }).on(
    approved,
    async () => {
      if (failures-- > 0) throw new Error('not now')
    },
  )
  await using app = await bank(moody)
  await app.publish(approved({ loanId: 'l-1' }))
  const own = moody.failure.backoff
  {
    using skipped = skipBackoff(app)
    await drain(app)
    expect(skipped.waits.map(({ listener, attempt }) => [listener, attempt])).toEqual([
      ['moody', 2],
      ['moody', 3],
      ['moody', 4],
      ['moody', 5],
    ])
    const [first, , , fourth] = skipped.waits
    expect(first?.wait).toBeGreaterThanOrEqual(30_000)
    expect(fourth?.wait).toBeGreaterThanOrEqual(4 * 60_000)
  }
  expect(moody.failure.backoff).toBe(own)
})
