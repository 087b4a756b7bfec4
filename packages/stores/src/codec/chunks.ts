import { createHash } from 'node:crypto'
import { rejectUnknownOptions, type ContextStore } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { invalid, requireWhole } from '../opened/checked.ts'

/** How large values are cut up. */
export interface ChunksOptions {
  /** The bytes of a chunk, which take a third more in the store. Defaults to 262,144 (256 KiB): DynamoDB takes those. */
  readonly chunkBytes?: number
}

/** A chunk as its store has it. */
interface Chunk {
  readonly object: string
  /** How many there are of the object. */
  readonly of: number
  /** In base64: no character is cut in two, and none takes more room than another. */
  readonly bytes: string
}

// Chunks read or written in one go.
const atOnce = 8
const mostNames = 1_000

/**
 * Objects for `claimCheck`, cut into chunks that a store of states takes: for those who have large values and no object
 * store. What a claim check promises holds for them: a value is read whole, with its hash, or not at all.
 *
 * @param store - one of its own, by its name or prefix: everything in it is chunks.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { chunksIn, claimCheck } from '@tidemark/stores/codecs'
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * // In production two stores of one table: `dynamodbStore({ client, name: 'chunks' })`.
 * const codec = claimCheck({ objects: chunksIn(memoryStore()), above: 300_000 })
 * await using store = memoryStore({ codec })
 * await store.put('report', { value: 'x'.repeat(5_000_000) })
 * ```
 */
export function chunksIn(
  store: StateStore,
  options: ChunksOptions = {},
): Pick<ContextStore, 'put' | 'get' | 'names' | 'delete'> {
  rejectUnknownOptions('chunksIn', options, ['chunkBytes'])
  const { chunkBytes = 262_144 } = options
  if (typeof store?.list !== 'function') throw invalid('chunksIn', 'store', 'is no store of states')
  requireWhole('chunksIn', 'chunkBytes', chunkBytes, 1, 2_147_483_647)
  const chunks = store as StateStore<Chunk>
  /** Of the sweep under way: a store of states lists by time, and a sweep asks by name. */
  let listed: readonly string[] = []

  return {
    // INVARIANT: the first chunk is written first and deleted last, so by it whatever there is of an object is found.
    put: async (object, text, { version, sha256, signal }) => {
      const bytes = Buffer.from(text)
      const of = Math.max(1, Math.ceil(bytes.length / chunkBytes))
      const write = async (index: number): Promise<void> => {
        const part = bytes.subarray(index * chunkBytes, (index + 1) * chunkBytes)
        const value = { object, of, bytes: part.toString('base64') }
        const status = index === 0 ? 'first' : 'rest'
        signal.throwIfAborted()
        await chunks.put(keyOf(object, index), { value, status })
      }
      await write(0)
      await eachOf(1, of, write)
      return { version, sha256 }
    },
    get: async (object, { signal }) => {
      const first = (await chunks.get(keyOf(object, 0)))?.value
      if (first === undefined) return undefined
      const parts = [Buffer.from(first.bytes, 'base64')]
      let isWhole = true
      await eachOf(1, first.of, async (index) => {
        signal.throwIfAborted()
        const chunk = (await chunks.get(keyOf(object, index)))?.value
        if (chunk === undefined) isWhole = false
        else parts[index] = Buffer.from(chunk.bytes, 'base64')
      })
      // One that is being written or deleted is not there.
      return isWhole ? Buffer.concat(parts).toString() : undefined
    },
    names: async (prefix, { after = '', signal }) => {
      if (after === '') listed = await allObjects(chunks, prefix, signal)
      return listed.filter((name) => name > after).slice(0, mostNames)
    },
    delete: async (objects, { signal }) => {
      for (const object of objects) {
        signal.throwIfAborted()
        const first = await chunks.get(keyOf(object, 0))
        if (first === undefined) continue
        await eachOf(1, first.value.of, async (index) => {
          await chunks.delete(keyOf(object, index))
        })
        await chunks.delete(keyOf(object, 0))
      }
    },
  }
}

/** The names of objects may be longer than keys. */
function keyOf(object: string, index: number): string {
  return `${createHash('sha256').update(object).digest('hex')}.${index}`
}

async function allObjects(
  chunks: StateStore<Chunk>,
  prefix: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const names: string[] = []
  for (let after: string | undefined; ;) {
    signal.throwIfAborted()
    const page = await chunks.list({
      status: 'first',
      ...(after === undefined ? {} : { after }),
    })
    names.push(...page.states.map(({ value }) => value.object))
    if (page.next === null) return names.filter((name) => name.startsWith(prefix)).toSorted()
    after = page.next
  }
}

async function eachOf(
  from: number,
  to: number,
  work: (index: number) => Promise<void>,
): Promise<void> {
  for (let start = from; start < to; start += atOnce) {
    const count = Math.min(atOnce, to - start)
    await Promise.all(Array.from({ length: count }, (_, offset) => work(start + offset)))
  }
}
