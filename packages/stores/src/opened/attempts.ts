import { isTidemarkError, TidemarkError } from 'tidemark'
import type { StateBackend } from '../backend/backend.ts'

/** What is asked. */
export type Asked = Pick<StateBackend, 'name' | 'isTransient'>

// Between the first repetition and the operation itself, in milliseconds. Each further one waits twice as long, up to the
// longest: what was away for ten seconds must not be waited for for twenty.
const firstPause = 20
const longestPause = 500

/**
 * Asks a backend, and asks again when it says that it may go better another time, until the time is over. Repeating is
 * safe: a write carries its id.
 *
 * @param timeout - for all attempts together, in milliseconds.
 * @throws TidemarkError TIDEMARK_STORE_UNAVAILABLE.
 */
export async function attempted<T>(
  backend: Asked,
  timeout: number,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController()
  const late = Promise.withResolvers<never>()
  let last: unknown
  const timer = setTimeout(() => {
    // What it said each time, where it said something: a replica, say, that takes no writes.
    const said = last === undefined ? '' : `; it said: ${messageOf(last)}`
    const reason = unavailable(backend, `did not answer within ${timeout} ms${said}`, last)
    abort.abort(reason)
    late.reject(reason)
  }, timeout)
  const asking = askUntil(backend, abort.signal, ask, (error) => (last = error))
  try {
    // Not every client looks at a signal: the caller is not kept waiting by one that does not.
    return await Promise.race([asking, late.promise])
  } finally {
    clearTimeout(timer)
    // What is given up says nothing that anybody waits for.
    asking.catch(() => {})
    late.promise.catch(() => {})
  }
}

async function askUntil<T>(
  backend: Asked,
  signal: AbortSignal,
  ask: (signal: AbortSignal) => Promise<T>,
  onFailure: (error: unknown) => void,
): Promise<T> {
  for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
    try {
      return await ask(signal)
    } catch (error) {
      if (isTidemarkError(error) && error.code !== 'TIDEMARK_STORE_UNAVAILABLE') throw error
      if (signal.aborted || !backend.isTransient(error)) throw asUnavailable(backend, error)
      onFailure(error)
      // Spread, so that those that a throttled backend has turned away do not come back together.
      await rest(pause * (0.5 + Math.random()), signal)
      if (signal.aborted) throw asUnavailable(backend, error)
    }
  }
}

function asUnavailable(backend: Asked, error: unknown): TidemarkError {
  if (isTidemarkError(error)) return error
  return unavailable(backend, `cannot be used: ${messageOf(error)}`, error)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function unavailable(backend: Asked, what: string, cause?: unknown): TidemarkError {
  return new TidemarkError('TIDEMARK_STORE_UNAVAILABLE', `the ${backend.name} store ${what}`, {
    details: { backend: backend.name },
    ...(cause === undefined ? {} : { cause }),
  })
}

function rest(time: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, time)
    signal.addEventListener('abort', done)
  })
}
