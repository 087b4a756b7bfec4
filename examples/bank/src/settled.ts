import { toEventSequence, type App, type EventSequence } from 'tidemark'

/**
 * Waits until everything that was published has been handled, and what the handlers published, and so on: for
 * scenarios and tests. An application waits for the listener and the sequence that it needs.
 */
export async function settled(tidemark: App): Promise<void> {
  for (;;) {
    const last = await lastSequence(tidemark)
    const listeners = await tidemark.listeners.list()
    await Promise.all(listeners.map(({ name }) => tidemark.waitFor(name, last, { timeout: '60s' })))
    // A handler's events commit together with its cursor: they are there by now.
    if ((await lastSequence(tidemark)) === last) return
  }
}

async function lastSequence(tidemark: App): Promise<EventSequence> {
  const { result } = await tidemark.transaction((tx) =>
    tx.query('SELECT coalesce(max(sequence), 0)::text AS last FROM tidemark.events'),
  )
  return toEventSequence(String(result.rows[0]?.['last']))
}
