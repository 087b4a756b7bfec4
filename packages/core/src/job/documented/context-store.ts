import { requireName, requireOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** Which text a store has under a name. */
export interface StoredText {
  readonly version: number
  /** Of its bytes, in hexadecimal. */
  readonly sha256: string
}

/**
 * An object store that holds what other tools read of jobs: a document for each execution, and the files that jobs
 * write. `@tidemark/stores/context` has them.
 *
 * What must hold:
 * - `put` judges and writes in one operation: a text with a lower version than the one that is there changes nothing,
 *   however late it comes.
 * - A file is not there before `write` has resolved.
 * - Each method ends soon after its `signal` aborts, by rejecting.
 */
export interface ContextStore {
  /** Names it in the references to what it holds: it must not change as long as there are any. */
  readonly name: string
  /** Which jobs have their context kept, by their names. Defaults to all that are not transactional. */
  readonly jobs?: readonly string[]
  /**
   * What the folders under `jobs/` are named after: the `job`, or its `definition`, whose jobs then share one. Defaults
   * to `job`.
   */
  readonly folders?: 'job' | 'definition'
  /**
   * Stores a JSON text unless there is one of a higher version.
   *
   * @returns which one is there afterwards.
   */
  put(
    name: string,
    text: string,
    options: StoredText & { readonly signal: AbortSignal },
  ): Promise<StoredText>
  /** Reads a text; undefined when there is none. */
  get(name: string, options: { readonly signal: AbortSignal }): Promise<string | undefined>
  /** Stores a file under a name that was never used before. */
  write(
    name: string,
    chunks: AsyncIterable<Uint8Array>,
    options: { readonly type: string; readonly signal: AbortSignal },
  ): Promise<void>
  /** Reads a file; undefined when there is none. */
  read(
    name: string,
    options: { readonly signal: AbortSignal },
  ): Promise<AsyncIterable<Uint8Array> | undefined>
  /** The next names that begin with `prefix`, after one of them, in the order of their bytes; none: that was all. */
  names(
    prefix: string,
    options: { readonly after?: string; readonly signal: AbortSignal },
  ): Promise<readonly string[]>
  /** Deletes objects; one that is not there is no error. */
  delete(names: readonly string[], options: { readonly signal: AbortSignal }): Promise<void>
  /** Ends uploads under names that begin with `prefix` which nobody will finish. */
  abandon(prefix: string, options: { readonly signal: AbortSignal }): Promise<void>
}

const methods = ['put', 'get', 'write', 'read', 'names', 'delete', 'abandon'] as const

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkContextStore(store: ContextStore): void {
  const where = 'defineApp: contextStore'
  requireOptions(
    where,
    store,
    'For instance `contextStore: s3({ client, bucket })` of `@tidemark/stores/context`.',
  )
  requireName(where, store.name)
  for (const method of methods) {
    if (typeof store[method] === 'function') continue
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} has no ${method}()`, {
      hint: 'For instance `contextStore: s3({ client, bucket })` of `@tidemark/stores/context`.',
      details: { store: store.name, method },
    })
  }
}
