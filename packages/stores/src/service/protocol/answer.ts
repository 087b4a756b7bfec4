import { isTidemarkError } from 'tidemark'
import type { StoreHealth } from '../../contract/state-store.ts'
import type { SyncReport } from '../../contract/sync.ts'
import type { RequestId } from './request.ts'
import type { WireJob, WireUnreadable } from './wire-job.ts'

/** What is wrong with a request, or with the store. */
export interface WireError {
  /** One of docs/errors.md. */
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly details: Readonly<Record<string, unknown>>
}

/** An answer as a client reads it. */
export interface WireAnswer {
  readonly requestId: RequestId
  readonly success: boolean
  /** Of `create`, `put`, `update` and `get`: null where there is none. */
  readonly job?: WireJob | null
  /** Of `list`, with `next`: where the next page begins; null: this was the last one. */
  readonly jobs?: readonly WireJob[]
  readonly next?: string | null
  /** Of `list` with `onUnreadable: 'skip'`: those that were left out. */
  readonly unreadable?: readonly WireUnreadable[]
  /** Of `delete`: whether there was one. */
  readonly deleted?: boolean
  /** Of `sync`. */
  readonly report?: SyncReport
  /** Of `health`. */
  readonly health?: StoreHealth
  readonly error?: WireError
}

/**
 * A line of an answer.
 *
 * @param rest - what it says, as a text of JSON fields: `"job":{…}`.
 */
export function answerLine(requestId: RequestId, rest: string): string {
  const more = rest === '' ? '' : `,${rest}`
  return `{"requestId":${JSON.stringify(requestId)},"success":true${more}}\n`
}

/** A line for what went wrong. */
export function errorLine(requestId: RequestId, error: unknown): string {
  const shown: WireError = isTidemarkError(error)
    ? { code: error.code, message: error.message, hint: error.hint, details: error.details }
    : // Deeply nested values exhaust the stack, and notes of superjson may be nonsense: both come from the request.
      {
        code: 'TIDEMARK_STATE_REQUEST_INVALID',
        message: `the request cannot be carried out: ${error instanceof Error ? error.message : String(error)}`,
        hint: 'Look at the value and its "meta".',
        details: {},
      }
  return `${JSON.stringify({ requestId, success: false, error: shown }, plain)}\n`
}

function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
