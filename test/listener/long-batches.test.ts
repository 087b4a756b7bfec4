import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { defineListener, type EventSequence, type Listener } from 'tidemark'
import { expect, test, vi } from 'vitest'
import { noted, notesOf, recordEffect } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { Latch } from '../support/jobs.ts'
import { appOn } from '../support/test-app.ts'

// A batch commits what it has handled after a second, so that a slow handler keeps neither what was handled before it
// nor a process that is to stop.

const database = useFreshDatabase()

/** A listener that waits at its first event. */
function slow(latch: Latch): Listener {
  return defineListener('slow').on(noted, async (event, { tx }) => {
    await recordEffect(tx, 'slow', event)
    if (event.payload.note === '0') await latch.pass()
  })
}

const notes = Array.from({ length: 20 }, (_, n) => noted({ note: String(n) }))

test('what was handled before a second had passed commits without the rest of its batch', async () => {
  const latch = new Latch()
  await using app = appOn(database, [slow(latch)])
  const published = await app.publish(notes)
  await app.start({ handleSignals: false })
  await latch.reached
  await setTimeout(1_100)
  latch.open()
  await app.waitFor('slow', published.at(-1)?.sequence ?? null)
  expect(await notesOf(database, 'slow')).toEqual(notes.map(({ payload }) => payload.note))
  const { rows } = await database.query(
    `select xmin::text, count(*)::int as events from effects group by 1 order by min(sequence)`,
  )
  expect(rows.map((row) => row['events'])).toEqual([1, 19])
})

test('a process that stops waits for the handler that runs, and not for the rest of its batch', async () => {
  const latch = new Latch()
  await using app = appOn(database, [slow(latch)])
  const published = await app.publish(notes)
  const runner = await app.start({ handleSignals: false })
  await latch.reached
  const stopped = runner.stop()
  await setTimeout(1_100)
  latch.open()
  await stopped
  expect(await notesOf(database, 'slow')).toEqual(['0'])
  const { rows } = await database.query('select cursor from tidemark.cursors')
  expect(rows).toEqual([{ cursor: String(published[0]?.sequence) }])
})

let runs = 0

test('wherever batches end early, each event is handled once and in order, or set aside once', async () => {
  const clock = performance.now.bind(performance)
  let ahead = 0
  vi.spyOn(performance, 'now').mockImplementation(() => clock() + ahead)
  const events = fc.array(
    fc.record({
      key: fc.constantFrom('a', 'b', 'c'),
      fails: fc.constantFrom(undefined, undefined, undefined, 'handled', 'read'),
      // The time is over after it.
      slow: fc.boolean(),
    }),
    { minLength: 1, maxLength: 25 },
  )
  await fc.assert(
    fc.asyncProperty(events, fc.integer({ min: 1, max: 3 }), async (made, partitions) => {
      await database.query('truncate effects; delete from tidemark.dead_letters')
      const name = `property_${(runs += 1)}`
      const listener = defineListener(name, {
        partitions,
        startFrom: 'now',
        onFailure: 'park-key',
        retry: { attempts: 1 },
      }).on(noted, async (event, { tx }) => {
        const { fails, slow: isSlow } = made[Number(event.payload.note)] ?? {}
        await recordEffect(tx, name, event)
        if (isSlow === true) ahead += 1_001
        if (fails === 'handled') throw new Error('it fails')
      })
      await using app = appOn(database, [listener])
      await app.start({ handleSignals: false })
      // A note that is a number cannot be read.
      const payloads = made.map(({ fails }, n) => ({ note: fails === 'read' ? n : String(n) }))
      await database.query(
        `select tidemark.publish('test.noted', payload, key => key)
         from unnest($1::jsonb[], $2::text[]) as made (payload, key)`,
        [payloads, made.map(({ key }) => key)],
      )
      const { rows } = await database.query('select max(sequence) as last from tidemark.events')
      await app.waitFor(name, BigInt(rows[0]?.['last'] as string) as EventSequence)
      const failed = new Set<string>()
      const handled: string[] = []
      const aside: string[] = []
      for (const [n, { key, fails }] of made.entries()) {
        if (failed.has(key)) aside.push('waiting')
        else if (fails !== undefined) {
          failed.add(key)
          aside.push('parked')
        } else handled.push(String(n))
      }
      const numbers = (await notesOf(database, name)).map(Number)
      expect(numbers.toSorted((a, b) => a - b).map(String)).toEqual(handled)
      for (const key of ['a', 'b', 'c']) {
        const own = numbers.filter((n) => made[n]?.key === key)
        expect(own).toEqual(own.toSorted((a, b) => a - b))
      }
      const letters = await app.deadLetters.list({ listener: name })
      expect(letters.map(({ state }) => state)).toEqual(aside)
    }),
    { numRuns: Number(process.env['TIDEMARK_RUNS'] ?? 20), endOnFailure: false },
  )
}, 120_000)
