import { usageError } from '../cli-error.ts'

/**
 * Reads a value that was given as JSON.
 *
 * @param what - what it is, for the message: `the payload`.
 */
export function parseJson(what: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw usageError(
      `${what} is not JSON: ${reason}`,
      'Quote it for your shell, as in \'{"id":"a-1"}\', or give - and pipe it in.',
    )
  }
}
