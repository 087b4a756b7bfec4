import { isTidemarkError, rejectUnknownOptions } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import type { StateFilter } from '../contract/state.ts'
import { invalid } from '../opened/checked.ts'

/** What is rewritten. */
export interface RewriteOptions {
  /** Defaults to everything. */
  readonly filter?: StateFilter
  /** The `next` of a report, to go on where that one ended. Defaults to the beginning. */
  readonly after?: string
  /** Ends it between two pages. Defaults to never. */
  readonly signal?: AbortSignal
}

/** How far it came. */
export interface RewriteReport {
  readonly rewritten: number
  /** Written by somebody else meanwhile, and so in the present way already; or gone. */
  readonly passed: number
  /** The keys of those whose value cannot be read, for want of its key for instance: they stay as they are. */
  readonly unreadable: readonly string[]
  /** Where to go on; null: everything was rewritten. */
  readonly next: string | null
}

/**
 * Writes each state again, as the codec of the store writes now: after a rotation of keys, or a change of the pipeline.
 * Values, tokens and times to live stay; versions rise. Whoever writes meanwhile is neither overwritten nor hindered.
 *
 * @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE.
 *
 * @example
 * ```ts
 * import { rewrite } from '@tidemark/stores/codecs'
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * await using store = memoryStore()
 * const { rewritten } = await rewrite(store)
 * console.log(rewritten, 'states are written in the present way')
 * ```
 */
export async function rewrite<Value>(
  store: StateStore<Value>,
  options: RewriteOptions = {},
): Promise<RewriteReport> {
  if (typeof store?.list !== 'function') throw invalid('rewrite', 'store', 'is no store of states')
  rejectUnknownOptions('rewrite', options, ['filter', 'after', 'signal'])
  const { filter = {}, signal } = options
  let rewritten = 0
  let passed = 0
  const unreadable: string[] = []
  let next: string | null = options.after ?? null
  do {
    const page = await store.list({
      ...filter,
      limit: 100,
      onUnreadable: 'skip',
      ...(next === null ? {} : { after: next }),
    })
    for (const { key, value, version, token } of page.states) {
      try {
        await store.update(key, { value }, { ifVersion: version, token })
        rewritten += 1
      } catch (error) {
        if (!isOvertaken(error)) throw error
        passed += 1
      }
    }
    unreadable.push(...page.unreadable.map(({ key }) => key))
    next = page.next
  } while (next !== null && signal?.aborted !== true)
  return { rewritten, passed, unreadable, next }
}

function isOvertaken(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_STATE_CONFLICT') ||
    isTidemarkError(error, 'TIDEMARK_STATE_FENCED') ||
    isTidemarkError(error, 'TIDEMARK_STATE_MISSING')
  )
}
