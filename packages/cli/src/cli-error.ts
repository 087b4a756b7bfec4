import { exitCode, type ExitCode } from './exit-code.ts'

/** What goes wrong in the command line itself, not in the library. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: ExitCode
  readonly hint: string | undefined

  constructor(
    message: string,
    options: {
      readonly exitCode?: ExitCode
      readonly hint?: string | undefined
      readonly cause?: unknown
    } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.exitCode = options.exitCode ?? exitCode.failure
    this.hint = options.hint
  }
}

/** The command was called in a way that cannot work. */
export function usageError(message: string, hint?: string): CliError {
  return new CliError(message, { exitCode: exitCode.usage, hint })
}

/** Throws unless the user has confirmed what cannot be undone. */
export function requireConfirmation(confirmed: boolean | undefined, what: string): void {
  if (confirmed === true) return
  throw usageError(what, 'Nothing was done. Add --yes to do it.')
}
