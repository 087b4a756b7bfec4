import { setTimeout as wait } from 'node:timers/promises'
import { isPassing } from './bucket.ts'

const pauses = [100, 300]

/** Tries a request again that failed for a reason which may pass: only for requests that may happen twice. */
export async function again<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (let turn = 0; ; turn++) {
    try {
      return await ask()
    } catch (error) {
      const pause = pauses[turn]
      if (pause === undefined || signal.aborted || !isPassing(error)) throw error
      await wait(pause, undefined, { signal })
    }
  }
}
