import fc from 'fast-check'
import { defineEvent, defineProjection, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()

type Entry = { readonly kind: 'put' | 'drop' | 'ignored'; readonly key: string; readonly n: bigint }

const put = defineEvent('test.put', { payload: z.object({ key: z.string(), n: z.bigint() }) })
const drop = defineEvent('test.drop', { payload: z.object({ key: z.string() }) })
const ignored = defineEvent('test.ignored', { payload: z.object({}) })

type State = { readonly entries: ReadonlyMap<string, bigint>; readonly changes: number }

const initial = (): State => ({ entries: new Map(), changes: 0 })

/** What the projection should make of the entries: the same fold, without any of the machinery. */
function pureFold(entries: readonly Entry[]): State {
  let state = initial()
  for (const entry of entries) {
    const map = new Map(state.entries)
    if (entry.kind === 'ignored') continue
    if (entry.kind === 'put') map.set(entry.key, (map.get(entry.key) ?? 0n) * 3n + entry.n)
    else map.delete(entry.key)
    state = { entries: map, changes: state.changes + 1 }
  }
  return state
}

const draft = ({ kind, key, n }: Entry) =>
  kind === 'put' ? put({ key, n }) : kind === 'drop' ? drop({ key }) : ignored({})

const entry: fc.Arbitrary<Entry> = fc.record({
  kind: fc.constantFrom('put', 'drop', 'ignored'),
  key: fc.constantFrom('a', 'b', 'ключ', '🗝'),
  n: fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
})

test('for any events, in any transactions and batches: the projection is the pure fold, and so is its replay', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(entry, { minLength: 1, maxLength: 8 }), fc.boolean()), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.integer({ min: 1, max: 5 }),
      async (transactions, batchSize) => {
        await database.query('truncate tidemark.events; delete from tidemark.cursors')
        const projection = defineProjection(`fold-${run++}`, { version: 1, batchSize, initial })
          .on(put, ({ entries, changes }, { payload: { key, n } }) => ({
            entries: new Map(entries).set(key, (entries.get(key) ?? 0n) * 3n + n),
            changes: changes + 1,
          }))
          .on(drop, ({ entries, changes }, { payload: { key } }) => ({
            entries: new Map([...entries].filter(([other]) => other !== key)),
            changes: changes + 1,
          }))
        await using app = appOn(database, [projection, ignored])
        await app.start({ acquireInterval: 20, leaseDuration: 500 })
        let last: EventSequence | undefined
        const committed: Entry[] = []
        for (const [entries, commits] of transactions) {
          const outcome = await app
            .transaction(async (tx) => {
              tx.publish(entries.map(draft))
              if (!commits) throw new Error('rolled back')
            })
            .catch(() => undefined)
          if (outcome === undefined) continue
          committed.push(...entries)
          last = outcome.sequence ?? last
        }
        const expected = pureFold(committed)
        if (last !== undefined) await app.waitFor(projection, last)
        expect(await app.read(projection)).toEqual(expected)
        await app.reset(projection)
        if (last !== undefined) await app.waitFor(projection, last)
        expect(await app.read(projection)).toEqual(expected)
      },
    ),
    { numRuns: 15, endOnFailure: true },
  )
})
