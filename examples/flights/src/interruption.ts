const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The reason of a run that was told to end. */
export class Interruption extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`)
    this.signal = signal
  }
}

/**
 * Turns Ctrl-C and its like into an abort, so that `await using` gets to clean up. The same signal may come
 * twice, from the terminal and from npm, so the second does not end the process either: cleaning up is short.
 *
 * @returns what lets the signals do again what they do by themselves.
 */
export function abortOnSignals(controller: AbortController): () => void {
  const onSignal = (signal: NodeJS.Signals): void => controller.abort(new Interruption(signal))
  for (const signal of signals) process.on(signal, onSignal)
  return () => {
    for (const signal of signals) process.off(signal, onSignal)
  }
}
