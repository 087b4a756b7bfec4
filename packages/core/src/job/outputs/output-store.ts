import { rejectUnknownOptions, requireName, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/**
 * Where an application keeps large outputs of jobs and steps, other than in Postgres: an object store, for instance.
 *
 * What must hold:
 * - What was put is durable when `put` resolves, and `get` reads it from any process from then on.
 * - Keys are never used twice, so nothing is ever overwritten: a store may cache what it has read.
 * - To delete a key that is not there is no error: a sweep that was interrupted is repeated.
 * - Each method ends soon after its `signal` aborts, by rejecting.
 *
 * @example
 * ```ts
 * import { defineApp, type OutputStore } from 'tidemark'
 *
 * function bucket(url: string, token: string): OutputStore {
 *   const ask = async (method: string, key: string, signal: AbortSignal, body?: string) => {
 *     const headers = { authorization: `Bearer ${token}` }
 *     const answer = await fetch(`${url}/${key}`, { method, headers, signal, body: body ?? null })
 *     if (answer.ok || (answer.status === 404 && method !== 'PUT')) return answer
 *     throw new Error(`${method} ${key}: ${answer.status}`)
 *   }
 *   return {
 *     name: 'bucket',
 *     put: async (key, json, { signal }) => void (await ask('PUT', key, signal, json)),
 *     get: async (key, { signal }) => {
 *       const answer = await ask('GET', key, signal)
 *       return answer.ok ? answer.text() : undefined
 *     },
 *     delete: async (keys, { signal }) => {
 *       for (const key of keys) await ask('DELETE', key, signal)
 *     },
 *   }
 * }
 *
 * export default defineApp({ modules: [], outputs: { store: bucket('https://outputs.example.com', 'secret') } })
 * ```
 */
export interface OutputStore {
  /** Names it in the references to what it holds: it must not change as long as there are any. */
  readonly name: string
  /**
   * Stores a text, durably. What it throws fails the attempt, which is tried again as its job says.
   *
   * @param key - a UUID that was never used before.
   * @param json - JSON, of any size above the limit.
   * @param options.signal - aborts when the attempt is cut off: past its timeout, taken over, or its process stops.
   */
  put(key: string, json: string, options: { readonly signal: AbortSignal }): Promise<void>
  /**
   * Reads what was put; undefined when there is nothing under the key.
   *
   * @param options.signal - aborts when nobody waits for it any longer, or after 30 s where nobody says how long.
   */
  get(key: string, options: { readonly signal: AbortSignal }): Promise<string | undefined>
  /**
   * Deletes up to 100 keys. What it throws is logged, and all of them are deleted again later.
   *
   * @param options.signal - aborts when the process stops, and after 30 s.
   */
  delete(keys: readonly string[], options: { readonly signal: AbortSignal }): Promise<void>
  /** Where other tools find what is under a key: said in the documents of a context store. Defaults to name and key. */
  readonly locate?: (key: string) => string
}

/** Where large outputs of jobs and steps are kept. */
export interface OutputsOptions {
  /**
   * Where they are put. Give it to every process that runs jobs or asks for their results. Defaults to a table of
   * Tidemark's, in which an output commits by the same statement as the reference to it.
   */
  readonly store?: OutputStore
  /**
   * Outputs of more characters of JSON than this are kept apart, so that lists and claims never read them. They are
   * read back unseen. Defaults to 65536 (64 KiB of ASCII).
   */
  readonly limit?: number
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkOutputsOptions(options: OutputsOptions): void {
  const where = 'defineApp: outputs'
  rejectUnknownOptions(where, options, ['store', 'limit'])
  const { store, limit = 0 } = options
  requireWhole(where, 'limit', limit, 0)
  if (store === undefined) return
  requireName(`${where}: store`, (store as Partial<OutputStore> | null)?.name)
  for (const method of ['put', 'get', 'delete'] as const) {
    if (typeof store[method] === 'function') continue
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: the store has no ${method}()`, {
      hint: 'A store has a `name` and the methods `put`, `get` and `delete`: see `OutputStore`.',
      details: { store: store.name, method },
    })
  }
}
