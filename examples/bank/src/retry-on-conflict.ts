import { isTidemarkError } from 'tidemark'

const mostAttempts = 10

/**
 * Runs a command again when somebody else appended to its stream first. The command must read what it decides on
 * inside `command`, so that it decides anew.
 */
export async function retryOnConflict<T>(command: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await command()
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_STREAM_CONFLICT') || attempt === mostAttempts)
        throw error
    }
  }
}
