import { errorCodes, type ErrorCode, type ErrorCodeEntry } from './codes.ts'
import { field } from './foreign-value.ts'

/** What a {@link TidemarkError} is made of. */
export interface TidemarkErrorOptions {
  /** The remedy for this very case. Defaults to the one in the code table. */
  readonly hint?: string
  /** Facts for programs: names, versions, sequences. */
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/**
 * The one class of error that Tidemark throws.
 *
 * Switch on `code`, which is stable; show `message` and `hint` to people. Recognise it with
 * {@link isTidemarkError}, which also works when two copies of the package are loaded.
 *
 * @example
 * ```ts
 * import { isTidemarkError } from 'tidemark'
 *
 * try {
 *   await run()
 * } catch (error) {
 *   if (!isTidemarkError(error, 'TIDEMARK_STREAM_CONFLICT')) throw error
 *   console.log(error.details, error.hint)
 * }
 * declare function run(): Promise<void>
 * ```
 */
export class TidemarkError extends Error {
  override readonly name = 'TidemarkError'
  readonly code: ErrorCode
  readonly hint: string
  readonly details: Readonly<Record<string, unknown>>
  /** The brand: two copies of the package have two classes, and one brand. */
  readonly '~tidemark' = 'error'

  constructor(code: ErrorCode, message: string, options: TidemarkErrorOptions = {}) {
    super(`${code}: ${message}`, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    const entry: ErrorCodeEntry = errorCodes[code]
    this.hint = options.hint ?? entry.remedy
    this.details = options.details ?? {}
  }
}

/** Whether `error` is a {@link TidemarkError}, and, if a code is given, one with that code. */
export function isTidemarkError(error: unknown, code?: ErrorCode): error is TidemarkError {
  return (
    field(error, '~tidemark') === 'error' && (code === undefined || field(error, 'code') === code)
  )
}
