import { EventEmitter, on } from 'node:events'
import type { StateEvent } from '../contract/watch.ts'

/**
 * Events from something that calls back, from when it has begun until the signal aborts.
 *
 * @param begin - begins it, and answers what ends it.
 */
export async function eventsFrom(
  signal: AbortSignal,
  begin: (told: (event: StateEvent) => void) => Promise<() => unknown>,
): Promise<AsyncIterable<StateEvent>> {
  if (signal.aborted) return nothing()
  const emitter = new EventEmitter<{ event: [StateEvent] }>()
  const events = on(emitter, 'event', { signal })
  const finish = await begin((event) => emitter.emit('event', event))
  const end = (): void => void finish()
  // Whether or not anybody still iterates.
  if (signal.aborted) end()
  else signal.addEventListener('abort', end, { once: true })
  return untilAborted(events, signal, end)
}

async function* untilAborted(
  events: AsyncIterable<unknown[]>,
  signal: AbortSignal,
  end: () => void,
): AsyncIterable<StateEvent> {
  try {
    for await (const [event] of events) yield event as StateEvent
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}

async function* nothing(): AsyncIterable<StateEvent> {
  // Ended before it began.
}
