/**
 * Waits for an answer no longer than a signal allows. What comes later is not looked at: whoever gives up closes the
 * connection.
 *
 * @throws the signal's reason.
 */
export async function abortable<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason as Error)
  // Whoever does not wait for it any more must not end the process by it.
  aborted.promise.catch(() => {})
  answer.catch(() => {})
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([answer, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
