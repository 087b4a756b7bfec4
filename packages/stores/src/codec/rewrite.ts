import { isTidemarkError, rejectUnknownOptions } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import type { State, StateFilter } from '../contract/state.ts'
import { invalid } from '../opened/checked.ts'

// How often one state is tried that others write meanwhile.
const mostTurns = 5

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
  /** Gone meanwhile, or written by somebody else again and again. */
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
    for (const state of page.states) {
      if (await isRewritten(store, state)) rewritten += 1
      else passed += 1
    }
    unreadable.push(...page.unreadable.map(({ key }) => key))
    next = page.next
  } while (next !== null && signal?.aborted !== true)
  return { rewritten, passed, unreadable, next }
}

/** A list may be a moment behind, and whoever has written since may have done so in the former way: it is tried anew. */
async function isRewritten<Value>(
  store: StateStore<Value>,
  listed: State<Value>,
): Promise<boolean> {
  let state: State<Value> | undefined = listed
  for (let turn = 0; turn < mostTurns && state !== undefined; turn += 1) {
    const { key, value, version, token }: State<Value> = state
    try {
      await store.update(key, { value }, { ifVersion: version, token })
      return true
    } catch (error) {
      if (!isOvertaken(error)) throw error
      ;[state] = await store.getMany([key], { onUnreadable: 'skip' })
    }
  }
  return false
}

function isOvertaken(error: unknown): boolean {
  return (
    isTidemarkError(error, 'TIDEMARK_STATE_CONFLICT') ||
    isTidemarkError(error, 'TIDEMARK_STATE_FENCED') ||
    isTidemarkError(error, 'TIDEMARK_STATE_MISSING')
  )
}
