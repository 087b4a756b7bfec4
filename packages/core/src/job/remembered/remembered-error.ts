import { isErrorCode } from '../../errors/codes.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** An error as code that runs again sees it: its name, message, code and cause, and no class of its own. */
export function rememberedError(description: ErrorDescription): Error {
  const { name, message, code, hint, stack, cause, errors } = description
  const options = cause === undefined ? {} : { cause: rememberedError(cause) }
  if (code !== undefined && isErrorCode(code)) {
    const bare = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message
    return new TidemarkError(code, bare, { ...options, ...(hint === undefined ? {} : { hint }) })
  }
  const error =
    errors === undefined
      ? new Error(message, options)
      : new AggregateError(errors.map(rememberedError), message, options)
  error.name = name
  if (stack !== undefined) error.stack = stack
  return code === undefined ? error : Object.assign(error, { code })
}
