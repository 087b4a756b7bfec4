/**
 * Calls `stop` on SIGTERM and SIGINT, then lets the signal do what it would have done. Answers what takes the
 * handlers away. A second signal does not wait.
 */
export function stopOnSignals(stop: () => Promise<void>): () => void {
  const signals = ['SIGTERM', 'SIGINT'] as const
  const onSignal = (signal: NodeJS.Signals): void => {
    remove()
    void stop().finally(() => {
      // Others who listen for it end the process when they are done.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
    })
  }
  const remove = (): void => {
    for (const signal of signals) process.off(signal, onSignal)
  }
  for (const signal of signals) process.on(signal, onSignal)
  return remove
}
