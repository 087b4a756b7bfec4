import { defineListener, type FailureOptions, type Listener } from 'tidemark'
import { expect, test } from 'vitest'
import { effectsOf, noted, notesOf, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { LogBook } from '../support/log-book.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

class Hopeless extends Error {}
class Busy extends Error {}

/** A listener that throws what the note asks for, after it has written its effect. */
function ledger(options: FailureOptions, attempts: string[] = []): Listener {
  const retry = { attempts: 3, backoff: () => 5, ...options.retry }
  return defineListener('ledger', { ...options, retry }).on(noted, async (event, { tx }) => {
    const { note } = event.payload
    await recordEffect(tx, 'ledger', event)
    if (!note.startsWith('bad')) return
    attempts.push(note)
    throw note.includes('hopeless') ? new Hopeless(note) : new Busy(note)
  })
}

test.for([
  { policy: 'park', state: 'parked' },
  { policy: 'park-key', state: 'parked' },
  { policy: 'skip', state: 'skipped' },
] as const)(
  'policy $policy: what cannot be handled is written down as $state with its error, its effects are not kept, and the listener goes on',
  async ({ policy, state }) => {
    const attempts: string[] = []
    const log = new LogBook()
    const listener = ledger({ onFailure: policy }, attempts)
    await using app = appOn(database, [listener], { logger: log })
    const drafts = ['one', 'bad', 'two'].map((note) => noted({ note }))
    const published = await app.publish(drafts)
    await app.start({ handleSignals: false })
    await app.waitFor(listener, published[2]?.sequence ?? null)

    expect(await notesOf(database, 'ledger')).toEqual(['one', 'two'])
    expect(await app.deadLetters.list({ listener: 'ledger' })).toMatchObject([
      {
        sequence: published[1]?.sequence,
        type: noted.type,
        eventId: published[1]?.id,
        state,
        holdsKey: false, // it has no key
        attempts: 3,
        error: { code: 'TIDEMARK_HANDLER_FAILED', cause: { message: 'bad' } },
      },
    ])
    // In the batch, and then alone for as often as the policy allows.
    expect(attempts).toHaveLength(1 + 3)
    expect(await app.listeners.get('ledger')).toMatchObject({ status: 'active' })
    expect(await log.wrote(new RegExp(`set event ${published[1]?.sequence} aside`))).toMatchObject({
      level: 'error',
      fields: { policy, attempts: 3 },
    })
  },
)

test('policy halt: the listener stops in front of the event, nothing is skipped, and a resume goes on with it', async () => {
  const listener = ledger({ onFailure: 'halt' })
  await using app = appOn(database, [listener])
  const published = await app.publish(['one', 'bad', 'two'].map((note) => noted({ note })))
  await app.start({ handleSignals: false })
  await expect(app.waitFor(listener, published[2]?.sequence ?? null)).rejects.toMatchObject({
    code: 'TIDEMARK_LISTENER_HALTED',
  })
  expect(await notesOf(database, 'ledger')).toEqual(['one'])
  expect(await app.deadLetters.list({ listener: 'ledger' })).toEqual([])
})

test('policy and retries by the class of the error', async () => {
  const attempts: string[] = []
  const listener = ledger(
    {
      retry: { retryable: (error) => error instanceof Busy },
      onFailure: (error) => (error instanceof Hopeless ? 'skip' : 'park'),
    },
    attempts,
  )
  await using app = appOn(database, [listener])
  const notes = ['bad, hopeless', 'one', 'bad, busy', 'two']
  const published = await app.publish(notes.map((note) => noted({ note })))
  await app.start({ handleSignals: false })
  await app.waitFor(listener, published[3]?.sequence ?? null)

  expect(await notesOf(database, 'ledger')).toEqual(['one', 'two'])
  expect(await app.deadLetters.list({ listener: 'ledger' })).toMatchObject([
    { sequence: published[0]?.sequence, state: 'skipped', attempts: 1 },
    { sequence: published[2]?.sequence, state: 'parked', attempts: 3 },
  ])
  // What cannot be helped is tried in its batch and once alone, to find it.
  expect(attempts.filter((note) => note === 'bad, hopeless')).toHaveLength(2)
})

test('a policy that fails itself, or answers nonsense, halts the listener with the error of the event', async () => {
  const broken: FailureOptions[] = [
    {
      onFailure: () => {
        throw new Error('the policy is broken')
      },
    },
    { onFailure: () => 'ignore' as never },
    {
      retry: {
        retryable: () => {
          throw new Error('the question is broken')
        },
      },
    },
  ]
  for (const [index, options] of broken.entries()) {
    const name = `ledger.${index}`
    const listener = defineListener(name, {
      ...options,
      retry: { attempts: 2, backoff: () => 1, ...options.retry },
    }).on(noted, async () => {
      throw new Error('bad')
    })
    await using app = appOn(database, [listener])
    const { sequence } = await app.publish(noted({ note: 'bad' }))
    await app.start({ handleSignals: false })
    await expect(app.waitFor(listener, sequence)).rejects.toMatchObject({
      code: 'TIDEMARK_LISTENER_HALTED',
      details: { lastError: { cause: { message: 'bad' } } },
    })
  }
})

test('an event that cannot be decoded is parked like any other, and a definition that reads it has it handled', async () => {
  const listener = ledger({ onFailure: 'park' })
  await using app = appOn(database, [listener])
  const before = await app.publish(noted({ note: 'before' }))
  await database.query(
    `insert into tidemark.events (type, payload) values ('test.noted', '{"note": 7}')`,
  )
  const after = await app.publish(noted({ note: 'after' }))
  await app.start({ handleSignals: false })
  await app.waitFor(listener, after.sequence)
  expect(await effectsOf(database, 'ledger')).toEqual([before.sequence, after.sequence])
  expect(await app.deadLetters.list({ listener: 'ledger' })).toMatchObject([
    {
      sequence: before.sequence + 1n,
      state: 'parked',
      error: { code: 'TIDEMARK_EVENT_UNREADABLE' },
    },
  ])

  await database.query(
    `update tidemark.events set payload = '{"note": "repaired"}' where sequence = $1`,
    [before.sequence + 1n],
  )
  await app.deadLetters.retry({ listener: 'ledger' })
  await expect
    .poll(() => notesOf(database, 'ledger'), { timeout: 15_000 })
    .toEqual(['before', 'after', 'repaired'])
  expect(await app.deadLetters.list({ listener: 'ledger' })).toEqual([])
})

test('two modules whose handlers lock the same rows in different orders deadlock, and both recover', async () => {
  await database.query(`
    create table rows_of_both (name text primary key, n integer not null);
    insert into rows_of_both values ('a', 0), ('b', 0)`)
  const met = { first: Promise.withResolvers<void>(), second: Promise.withResolvers<void>() }
  let deadlocks = 0
  const taking = (name: 'first' | 'second', order: readonly [string, string]): Listener =>
    defineListener(name, { retry: { attempts: 1, backoff: () => 1 } }).on(
      noted,
      async (_, { tx, attempt }) => {
        const add = 'update rows_of_both set n = n + 1 where name = $1'
        await tx.query(add, [order[0]])
        // The first time each waits until the other has its first row, too.
        met[name].resolve()
        if (attempt === 1) await Promise.all([met.first.promise, met.second.promise])
        try {
          await tx.query(add, [order[1]])
        } catch (error) {
          if ((error as { code?: string }).code === '40P01') deadlocks += 1
          throw error
        }
      },
    )
  await using app = appOn(database, [taking('first', ['a', 'b']), taking('second', ['b', 'a'])])
  await app.start({ handleSignals: false })
  const { sequence } = await app.publish(noted({ note: 'contended' }))
  await app.waitFor('first', sequence, { timeout: '30s' })
  await app.waitFor('second', sequence, { timeout: '30s' })

  // One attempt was allowed, and it was not the event's fault: nobody halted.
  expect(deadlocks).toBeGreaterThan(0)
  expect((await database.query('select name, n from rows_of_both order by name')).rows).toEqual([
    { name: 'a', n: 2 },
    { name: 'b', n: 2 },
  ])
})
