import { useEffect, useRef, useState } from 'preact/hooks'
import { Problem, read } from './client.ts'
import { onBeat } from './live.ts'
import { whenReleased } from './pressed.ts'

/** What is known of something that is looked at again and again. */
export interface Data<T> {
  /** The last answer; undefined while there is none. */
  readonly value: T | undefined
  /** Why the last look failed, if it did: `value` is older then. */
  readonly error: Error | undefined
  /** Looks again at once. */
  readonly refresh: () => void
}

/** Tells everything that is shown to look again: something was changed. */
const changes = new EventTarget()

/** Says that something was changed, so that everything that is shown is looked at again. */
export function changed(): void {
  changes.dispatchEvent(new Event('change'))
}

/**
 * Looks at something, and again with the beats of the server, at least so many milliseconds after each answer: there are no
 * beats while the page cannot be seen, and no look is begun before the last one is answered.
 *
 * @param url - null: at nothing.
 * @param every - null: once.
 */
export function useData<T>(url: string | null, every: number | null = 2_000): Data<T> {
  const [state, setState] = useState<{ url: string | null; value?: T; error?: Error }>({ url })
  const refresh = useRef(() => {})
  useEffect(() => {
    if (url === null) return undefined
    const gone = new AbortController()
    let dueAt = 0
    let busy = false
    const look = async (): Promise<void> => {
      if (busy) return
      busy = true
      let pause = every ?? Infinity
      try {
        const value = await read<T>(url, gone.signal)
        await whenReleased()
        if (!gone.signal.aborted) setState({ url, value })
      } catch (error) {
        if (gone.signal.aborted) return
        setState((old) => ({ ...(old.url === url ? old : {}), url, error: error as Error }))
        // What is not there, or may not be seen, mostly stays so.
        if (error instanceof Problem && error.status < 500) pause *= 5
      } finally {
        busy = false
        // A beat that comes a little early is meant.
        dueAt = performance.now() + pause - 100
      }
    }
    const again = (): void => void look()
    const stop = onBeat(() => {
      if (performance.now() >= dueAt) again()
    })
    refresh.current = again
    again()
    changes.addEventListener('change', again)
    return () => {
      gone.abort()
      stop()
      changes.removeEventListener('change', again)
    }
  }, [url, every])
  const mine = state.url === url
  return {
    value: mine ? state.value : undefined,
    error: mine ? state.error : undefined,
    refresh: () => refresh.current(),
  }
}
