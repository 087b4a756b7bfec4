import { randomBytes } from 'node:crypto'
import {
  openStore,
  type BatchWrite,
  type ListOptions,
  type NewState,
  type State,
  type StateChange,
  type StateStore,
  type StoreOptions,
  type WriteOptions,
} from '@tidemark/stores'
import { keyRing, messagePack, pipeline } from '@tidemark/stores/codecs'
import { MemoryBackend } from '@tidemark/stores/memory'
import fc from 'fast-check'
import { isTidemarkError } from 'tidemark'
import { expect, test } from 'vitest'

const runs = Number(process.env['TIDEMARK_RUNS'] ?? 8)

/** One question, with where it is asked. */
type Ask = (store: StateStore) => Promise<unknown>

const key = fc.constantFrom('a', 'b', 'c')
const status = fc.constantFrom('new', 'done', 'not yet')
const token = fc.bigInt(0n, 3n)
// Few enough that some come twice.
const writeId = fc.constantFrom('first', 'second', 'third')
const options = fc.record(
  { token, ifVersion: fc.integer({ min: 1, max: 6 }), writeId },
  { requiredKeys: [] },
) as fc.Arbitrary<WriteOptions>
const parts = {
  value: fc.constantFrom(1, 'text', null, undefined, new Map([['rows', 5n]])),
  name: fc.constantFrom('one', 'the other', null),
  status: fc.option(status),
  fields: fc.constantFrom({}, { rows: 1 }, { rows: '1', done: true }),
  ttl: fc.constantFrom(null, 3_600_000),
}
const change = fc.record(parts, { requiredKeys: [] }) as fc.Arbitrary<StateChange>
const state = fc.record(parts, { requiredKeys: ['value'] }) as fc.Arbitrary<NewState>
const write = fc.oneof(
  fc.record({ op: fc.constantFrom('create', 'put'), key, state, token }),
  fc.record({ op: fc.constant('update'), key, change, token }),
  fc.record({ op: fc.constant('delete'), key, token }),
) as fc.Arbitrary<BatchWrite>
const filter = fc.constantFrom<ListOptions>(
  {},
  { status: 'new' },
  { status: ['done', 'not yet'] },
  { name: 'one' },
  { fields: { rows: 1 } },
  { fields: { rows: '1', done: true }, status: 'new' },
)

const ask: fc.Arbitrary<Ask> = fc.oneof(
  fc.tuple(fc.constantFrom('create', 'put'), key, state, options).map(
    ([op, ...given]): Ask =>
      async (store) =>
        shown(await store[op](...given)),
  ),
  fc.tuple(key, change, options).map(
    (given): Ask =>
      async (store) =>
        shown(await store.update(...given)),
  ),
  fc.tuple(key, options).map(
    (given): Ask =>
      (store) =>
        store.delete(...given),
  ),
  key.map(
    (one): Ask =>
      async (store) =>
        shown(await store.get(one)),
  ),
  fc.array(write, { maxLength: 5 }).map(
    (writes): Ask =>
      async (store) =>
        (await store.batch(writes)).map((outcome) =>
          outcome.ok ? shown(outcome.state) : outcome.error.code,
        ),
  ),
  filter.map(
    (one): Ask =>
      async (store) =>
        // In which order those of one millisecond are, and which are of one, is another matter.
        (await store.list(one)).states.map(({ key: found }) => found).toSorted(),
  ),
)

/**
 * Asks a store and one in memory the same things at random, plain and encrypted, and expects the same answers.
 *
 * @param open - a store with nothing in it.
 */
export function testAgainstMemory(open: (run: string, options: StoreOptions) => StateStore): void {
  const keys = keyRing({ keys: { a: randomBytes(32) }, current: 'a' })
  const codecs = { plain: {}, encrypted: { codec: pipeline({ keys, serializer: messagePack() }) } }
  test.for(Object.entries(codecs))(
    '%s states: whatever is asked, it answers what a store in memory answers',
    { timeout: 300_000 },
    async ([name, codec]) => {
      let run = 0
      await fc.assert(
        fc.asyncProperty(fc.array(ask, { minLength: 10, maxLength: 60 }), async (asks) => {
          run += 1
          const model = openStore(new MemoryBackend(), codec)
          const store = open(`${name}-${run}`, codec)
          for (const one of asks) {
            expect(await answerOf(store, one)).toEqual(await answerOf(model, one))
          }
        }),
        { numRuns: runs },
      )
    },
  )
}

async function answerOf(store: StateStore, one: Ask): Promise<unknown> {
  try {
    return await one(store)
  } catch (error) {
    if (isTidemarkError(error)) return error.code
    throw error
  }
}

/** What two stores say alike: their clocks differ. */
function shown(found: State | undefined): unknown {
  if (found === undefined) return undefined
  const { createdAt: _, updatedAt: __, expiresAt, ...rest } = found
  return { ...rest, ends: expiresAt !== null }
}
