import { usageError } from '../cli-error.ts'

/**
 * Reads a value that was given as JSON.
 *
 * @param what - what it is, for the message: `the payload`.
 * @param parse - Defaults to `JSON.parse`.
 */
export function parseJson(
  what: string,
  text: string,
  parse: (text: string) => unknown = JSON.parse,
): unknown {
  try {
    return parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw usageError(
      `${what} is not JSON: ${reason}`,
      'Quote it for your shell, as in \'{"id":"a-1"}\', or give - and pipe it in.',
    )
  }
}
