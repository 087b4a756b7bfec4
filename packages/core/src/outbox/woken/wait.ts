import { after } from '../../database/timer.ts'

/** Resolves after `ms`, or as soon as the signal aborts: loops look at the signal anyway. */
export function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve()
      return
    }
    const done = (): void => {
      timer.clear()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = after(ms, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}

/** Races a promise against a time limit. The promise goes on; its late error is swallowed. */
export async function withTimeout<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const limit = Promise.withResolvers<never>()
  const timer = after(ms, () => limit.reject(new Error(`${what} took more than ${ms} ms`)))
  promise.catch(() => {})
  try {
    return await Promise.race([promise, limit.promise])
  } finally {
    timer.clear()
  }
}

/** Races some work against a signal, whose reason it fails with. The work goes on; its late error is swallowed. */
export async function orAborted<T>(signal: AbortSignal, work: T | PromiseLike<T>): Promise<T> {
  const over = Promise.withResolvers<never>()
  const end = (): void => over.reject(signal.reason)
  if (signal.aborted) end()
  else signal.addEventListener('abort', end, { once: true })
  try {
    return await Promise.race([work, over.promise])
  } finally {
    signal.removeEventListener('abort', end)
  }
}
