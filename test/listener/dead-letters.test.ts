import {
  defineListener,
  type App,
  type DeadLetter,
  type EventSequence,
  type Listener,
} from 'tidemark'
import { expect, test } from 'vitest'
import { noted, notesOf, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

/** A listener that parks the keys of notes for as long as they are in `bad`. */
function ledger(bad: ReadonlySet<string>, partitions = 1): Listener {
  return defineListener('ledger', {
    partitions,
    onFailure: 'park-key',
    retry: { attempts: 1 },
  }).on(noted, async (event, { tx }) => {
    if (bad.has(event.payload.note)) throw new Error(`cannot stand ${event.payload.note}`)
    await recordEffect(tx, 'ledger', event)
  })
}

/** Publishes notes, each with its first letter as the key. */
async function publish(app: App, ...notes: readonly string[]): Promise<EventSequence> {
  let last: EventSequence | undefined
  for (const note of notes) {
    ;({ sequence: last } = await app.publish(noted({ note }), { key: note.slice(0, 1) }))
  }
  return last as EventSequence
}

async function states(app: App): Promise<string[]> {
  const letters = await app.deadLetters.list({ listener: 'ledger' })
  const { rows } = await database.query<{ sequence: string; note: string }>(
    `select sequence, payload ->> 'note' as note from tidemark.events`,
  )
  const notes = new Map(rows.map(({ sequence, note }) => [BigInt(sequence), note]))
  return letters.map(({ sequence, state }) => `${notes.get(sequence)} ${state}`)
}

async function sequenceOf(app: App, note: string): Promise<DeadLetter['sequence']> {
  const { rows } = await database.query<{ sequence: string }>(
    `select sequence from tidemark.events where payload ->> 'note' = $1`,
    [note],
  )
  const sequence = BigInt(rows[0]?.sequence ?? 0)
  const letters = await app.deadLetters.list({ listener: 'ledger' })
  return letters.find((letter) => letter.sequence === sequence)?.sequence as EventSequence
}

test.for([1, 3])(
  'a parked key waits and keeps its order while other keys go on, with %i partitions; new events of the key wait too, across restarts',
  async (partitions) => {
    const bad = new Set(['a2'])
    const listener = ledger(bad, partitions)
    {
      await using app = appOn(database, [listener])
      await app.start({ handleSignals: false })
      await app.waitFor(listener, await publish(app, 'a1', 'a2', 'b1', 'a3', 'b2', 'a4'))
      expect(await states(app)).toEqual(['a2 parked', 'a3 waiting', 'a4 waiting'])
      expect((await notesOf(database, 'ledger')).toSorted()).toEqual(['a1', 'b1', 'b2'])
    }
    await using app = appOn(database, [listener])
    await app.start({ handleSignals: false })
    await app.waitFor(listener, await publish(app, 'a5', 'b3'))
    expect(await states(app)).toEqual(['a2 parked', 'a3 waiting', 'a4 waiting', 'a5 waiting'])

    bad.clear()
    expect(await app.deadLetters.retry({ listener: 'ledger', key: 'a' })).toBe(4)
    await app.waitFor(listener, await publish(app, 'a6', 'b4'))
    const handled = async (key: string): Promise<string[]> =>
      (await notesOf(database, 'ledger')).filter((note) => note.startsWith(key))
    await expect
      .poll(() => handled('a'), { timeout: 15_000 })
      .toEqual(['a1', 'a2', 'a3', 'a4', 'a5', 'a6'])
    expect(await handled('b')).toEqual(['b1', 'b2', 'b3', 'b4'])
    expect(await states(app)).toEqual([])
  },
)

test('a retry that fails again parks the event again; what waits behind it goes on waiting, in order', async () => {
  const bad = new Set(['a1', 'a3'])
  const listener = ledger(bad)
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  await app.waitFor(listener, await publish(app, 'a1', 'a2', 'a3', 'a4'))

  await app.deadLetters.retry({ listener: 'ledger' })
  const attemptsOf = async (): Promise<number | undefined> =>
    (await app.deadLetters.list({ listener: 'ledger' }))[0]?.attempts
  await expect.poll(attemptsOf, { timeout: 15_000 }).toBe(2)
  expect(await states(app)).toEqual(['a1 parked', 'a2 waiting', 'a3 waiting', 'a4 waiting'])
  expect(await notesOf(database, 'ledger')).toEqual([])

  // The first is mended: the key goes on until the next that is not.
  bad.delete('a1')
  await app.deadLetters.retry({ listener: 'ledger', sequence: await sequenceOf(app, 'a1') })
  await expect.poll(() => states(app), { timeout: 15_000 }).toEqual(['a3 parked', 'a4 waiting'])
  expect(await notesOf(database, 'ledger')).toEqual(['a1', 'a2'])
})

test('one that is discarded stays as a record, and what waited behind it is handled', async () => {
  const listener = ledger(new Set(['a1', 'b1']))
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  await app.waitFor(listener, await publish(app, 'a1', 'b1', 'a2', 'b2', 'a3'))

  expect(
    await app.deadLetters.discard({ listener: 'ledger', sequence: await sequenceOf(app, 'a1') }),
  ).toBe(1)
  await expect.poll(() => notesOf(database, 'ledger'), { timeout: 15_000 }).toEqual(['a2', 'a3'])
  await expect
    .poll(() => states(app), { timeout: 15_000 })
    .toEqual(['a1 skipped', 'b1 parked', 'b2 waiting'])
  // The key is free again.
  await app.waitFor(listener, await publish(app, 'a4'))
  expect(await notesOf(database, 'ledger')).toEqual(['a2', 'a3', 'a4'])
})

test('a whole key is discarded at once, and so is everything', async () => {
  const listener = ledger(new Set(['a1', 'b1']))
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  await app.waitFor(listener, await publish(app, 'a1', 'a2', 'b1', 'b2'))
  expect(await app.deadLetters.discard({ listener: 'ledger', key: 'a' })).toBe(2)
  expect(await states(app)).toEqual(['a1 skipped', 'a2 skipped', 'b1 parked', 'b2 waiting'])
  expect(await app.deadLetters.discard({ listener: 'ledger' })).toBe(2)
  await app.waitFor(listener, await publish(app, 'a3', 'b3'))
  expect(await notesOf(database, 'ledger')).toEqual(['a3', 'b3'])
})

test('retries are bounded: no more than the limit at a time', async () => {
  let broken = true
  const listener = defineListener('ledger', { onFailure: 'park', retry: { attempts: 1 } }).on(
    noted,
    async (event, { tx }) => {
      if (broken) throw new Error('not yet')
      await recordEffect(tx, 'ledger', event)
    },
  )
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  await app.waitFor(listener, await publish(app, 'a1', 'b1', 'c1', 'd1'))
  broken = false
  expect(await app.deadLetters.retry({ listener: 'ledger', limit: 3 })).toBe(3)
  await expect
    .poll(() => notesOf(database, 'ledger'), { timeout: 15_000 })
    .toEqual(['a1', 'b1', 'c1'])
  expect(await states(app)).toEqual(['d1 parked'])
})

test('there is nothing to retry or discard: that is an error that says so', async () => {
  const listener = ledger(new Set())
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  await app.waitFor(listener, await publish(app, 'a1'))
  for (const decide of ['retry', 'discard'] as const) {
    await expect(app.deadLetters[decide]({ listener: 'ledger' })).rejects.toMatchObject({
      code: 'TIDEMARK_UNKNOWN_DEAD_LETTER',
    })
  }
})

test('dead letters of a generation that is nobody’s are neither listed nor touched', async () => {
  const listener = ledger(new Set(['a1']))
  await using app = appOn(database, [listener])
  await app.start({ handleSignals: false })
  await app.waitFor(listener, await publish(app, 'a1', 'a2'))
  await database.query(
    `insert into tidemark.dead_letters (listener, generation, sequence, type, event_id, key, holds_key, state)
     select listener, generation + 1, sequence, type, event_id, key, holds_key, state from tidemark.dead_letters`,
  )
  expect(await states(app)).toEqual(['a1 parked', 'a2 waiting'])
  expect(await app.deadLetters.discard({ listener: 'ledger' })).toBe(2)
  expect(await states(app)).toEqual(['a1 skipped', 'a2 skipped'])
  const { rows } = await database.query<{ state: string }>(
    'select state from tidemark.dead_letters where generation = 2 order by sequence',
  )
  expect(rows.map(({ state }) => state)).toEqual(['parked', 'waiting'])
})
