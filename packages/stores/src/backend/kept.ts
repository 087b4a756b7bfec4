import { TidemarkError } from 'tidemark'

/**
 * Reads what a backend has under a key. What makes no sense there was written by somebody else: asking again does not help.
 *
 * @throws TidemarkError TIDEMARK_STATE_UNREADABLE.
 */
export function keptUnder<T>(backend: string, key: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new TidemarkError(
      'TIDEMARK_STATE_UNREADABLE',
      `what the ${backend} store has under "${key}" was not written by a store`,
      { cause, details: { backend, key } },
    )
  }
}
