import { isThenable } from './user-code.ts'

type Listener = ((event: Event) => unknown) | { handleEvent(event: Event): unknown }
type Method = (type: string, listener: unknown, options?: unknown) => void

/**
 * Keeps the listeners that an application adds to a signal from ending the process: Node takes what one throws, or what an
 * asynchronous one rejects with, for an uncaught exception.
 *
 * @param report - told of each such error. It must not throw.
 * @returns the same signal.
 */
export function guardListeners(signal: AbortSignal, report: (error: unknown) => void): AbortSignal {
  const guarded = new WeakMap<object, (event: Event) => void>()
  const guardedOf = (listener: Listener): ((event: Event) => void) => {
    const before = guarded.get(listener)
    if (before !== undefined) return before
    const made = (event: Event): void => {
      try {
        const answer: unknown =
          typeof listener === 'function'
            ? Reflect.apply(listener, signal, [event])
            : listener.handleEvent(event)
        if (isThenable(answer)) Promise.resolve(answer).catch(report)
      } catch (error) {
        report(error)
      }
    }
    guarded.set(listener, made)
    return made
  }
  // `onabort` adds its handler in the same way.
  for (const method of ['addEventListener', 'removeEventListener'] as const) {
    const plain = signal[method].bind(signal) as Method
    const value: Method = (type, listener, options) => {
      plain(type, isListener(listener) ? guardedOf(listener) : listener, options)
    }
    Object.defineProperty(signal, method, { value, configurable: true, writable: true })
  }
  return signal
}

function isListener(value: unknown): value is Listener {
  return typeof value === 'function' || (typeof value === 'object' && value !== null)
}
