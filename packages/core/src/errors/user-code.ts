import type { ErrorCode } from './codes.ts'
import { messageOf } from './describe-error.ts'
import { field, preview } from './foreign-value.ts'
import { TidemarkError } from './tidemark-error.ts'

/** What came of asking a function of the application's: a value of the right kind, or why there is none. */
export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: TidemarkError }

/**
 * Asks a function of the application's that is to answer at once: a policy, a key, a backoff. Whatever it does, this
 * answers: when it throws, when it answers something of another kind, and when it answers a promise, whose rejection then
 * ends nothing.
 *
 * @param what - names the function, for people: `retry.backoff of send_email`.
 * @param call - calls it.
 * @param accepts - whether the answer is of the right kind.
 * @param expected - what that kind is, for people: `a number`.
 * @param code - of the error. Defaults to TIDEMARK_CALLBACK_FAILED.
 */
export function ask<T>(
  what: string,
  call: () => unknown,
  accepts: (answer: unknown) => answer is T,
  expected: string,
  code: ErrorCode = 'TIDEMARK_CALLBACK_FAILED',
): Answer<T> {
  let answer: unknown
  try {
    answer = call()
    if (accepts(answer)) return { ok: true, value: answer }
  } catch (cause) {
    const error = new TidemarkError(code, `${what} threw: ${messageOf(cause)}`, { cause })
    return { ok: false, error }
  }
  forget(answer)
  const given = isThenable(answer) ? 'a promise' : preview(answer)
  return { ok: false, error: new TidemarkError(code, `${what} answered ${given}, not ${expected}`) }
}

/** Keeps the rejection of a promise that nobody waits for from ending the process. */
export function forget(value: unknown): void {
  if (!isThenable(value)) return
  Promise.resolve(value).catch(() => {
    // Nobody waits for it, and whoever made it has been told that it is not wanted.
  })
}

/** Whether it can be awaited, as `await` sees it. Never throws. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof field(value, 'then') === 'function'
}

export const isBoolean = (answer: unknown): answer is boolean => typeof answer === 'boolean'
export const isNumber = (answer: unknown): answer is number =>
  typeof answer === 'number' && !Number.isNaN(answer)
