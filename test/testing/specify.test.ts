import { specify, withOptions } from '@tidemark/testing'
import { Kysely, PostgresDialect } from 'kysely'
import { defineEntity, defineEvent, defineJob, defineListener } from 'tidemark'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'

const loan = z.object({ loanId: z.string(), cents: z.bigint(), note: z.string().default('none') })
const submitted = defineEvent('loans.submitted', { payload: loan })
const approved = defineEvent('loans.approved', { payload: loan })
const review = defineJob('review', {
  input: z.object({ loanId: z.string(), urgent: z.boolean().default(false) }),
  run: () => {},
})
const small = { loanId: 'l-1', cents: 5n }

declare const unbound: Kysely<{ letters: { loanId: string; seen: number } }>

describe('a listener', () => {
  const approval = defineListener('approval').on(submitted, async (event, context) => {
    const { payload, stream } = event
    if (payload.cents < 0n) throw new Error(`less than nothing in ${stream}`)
    if (payload.cents < 1000n) context.publish(approved(payload))
    else await context.spawn(review, { loanId: payload.loanId })
  })

  test('publishes what it says, with the defaults of the schema', async () => {
    const outcome = await specify(approval, [submitted(small)]).when(submitted(small))
    outcome.thenPublished(approved({ ...small, note: 'none' })).thenSpawned()
    expect(() => outcome.thenPublished()).toThrow(/deep-equal/)
    expect(() => outcome.thenPublished(approved({ ...small, cents: 6n }))).toThrow(/deep-equal/)
    expect(() => outcome.thenFailed(/./)).toThrow('was expected to fail')
  })

  test('spawns a job, with the defaults of its input', async () => {
    const outcome = await specify(approval).when(submitted({ loanId: 'l-2', cents: 5000n }))
    outcome.thenPublished().thenSpawned([review, { loanId: 'l-2', urgent: false }])
    expect(() => outcome.thenSpawned()).toThrow(/deep-equal/)
  })

  test('fails, and every other assertion says why', async () => {
    const event = withOptions(submitted({ loanId: 'l-3', cents: -1n }), { stream: 'loan-l-3' })
    const outcome = await specify(approval).when(event)
    outcome.thenFailed(/less than nothing in loan-l-3/)
    expect(() => outcome.thenPublished()).toThrow('less than nothing')
  })

  test('is not given what it does not handle', async () => {
    await expect(specify(approval).when(approved(small))).rejects.toThrow(
      'approval does not handle loans.approved',
    )
  })
})

describe('statements', () => {
  test('are noted, awaited or sent', async () => {
    const letters = defineListener('letters').on(submitted, async (event, { tx, db, send }) => {
      await (db as unknown as typeof unbound)
        .insertInto('letters')
        .values({ loanId: event.payload.loanId, seen: 0 })
        .execute()
      await tx.query('update letters set seen = $1', [1])
      send('delete from letters where "loanId" = $1', ['old'])
    })
    const outcome = await specify(letters).when(submitted(small))
    outcome.thenSent(
      ['insert into "letters" ("loanId", "seen") values ($1, $2)', 'l-1', 0],
      ['update letters set seen = $1', 1],
      ['delete from letters where "loanId" = $1', 'old'],
    )
    const db = new Kysely<{ letters: { loanId: string } }>({
      dialect: new PostgresDialect({ pool: undefined as never }),
    })
    expect(() => outcome.thenSent(db.insertInto('letters').values({ loanId: 'l-1' }))).toThrow(
      /deep-equal/,
    )
  })

  test('that ask for rows need an answer', async () => {
    const asking = defineListener('asking').on(submitted, async (event, { tx, publish }) => {
      const { rows } = await tx.query('select note from loans where id = $1', [
        event.payload.loanId,
      ])
      publish(approved({ ...event.payload, note: String(rows[0]?.['note']) }))
    })
    await expect(specify(asking).when(submitted(small))).rejects.toThrow(
      'asks the database, and nothing says what it answers: select note',
    )
    const answer = (_: string, [id]: readonly unknown[]) => [{ note: `of ${String(id)}` }]
    const outcome = await specify(asking, [], { answer }).when(submitted(small))
    outcome.thenPublished(approved({ ...small, note: 'of l-1' }))
  })

  test('that nobody awaits are found', async () => {
    const careless = defineListener('careless').on(submitted, async (_, { tx }) => {
      void tx.query('update loans set seen = true').catch(() => {})
    })
    await expect(specify(careless).when(submitted(small))).rejects.toThrow(
      'the handler of careless returned before its statements had ended',
    )
  })

  test('go to the `db` of the application where one is given', async () => {
    const calls: string[] = []
    const own = defineListener('own').on(submitted, (event, { db }) => {
      ;(db as unknown as { insert(id: string): void }).insert(event.payload.loanId)
    })
    const db = { insert: (id: string) => calls.push(id) }
    const outcome = await specify(own, [], { db }).when(submitted(small), submitted(small))
    outcome.thenSent()
    expect(calls).toEqual(['l-1', 'l-1'])
  })
})

describe('an entity', () => {
  const account = defineEntity('account', { initial: () => ({ cents: 0n }) })
    .on(submitted, (state, event) => ({ cents: state.cents + event.payload.cents }))
    .on(approved, (state, event) => ({ cents: state.cents - event.payload.cents }))

  test('is decided on what it was, and has the state of what was published', async () => {
    const outcome = await specify(account, [submitted(small), submitted(small)]).when(
      (state, tx) => {
        tx.publish(approved({ loanId: 'l-1', cents: 1n }))
        return state.cents === 10n ? approved({ loanId: 'l-1', cents: 4n }) : undefined
      },
    )
    outcome
      .thenPublished(approved({ loanId: 'l-1', cents: 1n }), approved({ loanId: 'l-1', cents: 4n }))
      .thenState({ cents: 5n })
    expect(() => outcome.thenState({ cents: 6n })).toThrow(/deep-equal/)
  })

  test('refuses a command', async () => {
    const outcome = await specify(account).when((state) => {
      if (state.cents === 0n) throw new RangeError('nothing there')
      return approved(small)
    })
    outcome.thenFailed({ name: 'RangeError' })
    expect(outcome.published).toEqual([])
  })
})

test('an option that does not exist is refused', () => {
  const listener = defineListener('any')
  expect(() => specify(listener, [], { answers: [] } as object)).toThrow('has no option "answers"')
})
