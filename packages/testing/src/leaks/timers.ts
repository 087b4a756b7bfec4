import { createHook } from 'node:async_hooks'

/** A timer that was started while timers were watched. */
interface WatchedTimer {
  /** When it was started, on a clock that counts timers. */
  readonly time: number
  readonly timer: NodeJS.Timeout & { readonly _destroyed?: boolean; readonly _idleTimeout?: number }
  readonly stack: string
}

const watched = new Set<WatchedTimer>()
let clock = 0
let pruneAt = 1_000

// Counting timers before and after a test would not do: the test runner has timers of its own, which
// come and go. This sees each one and where it was started, those of node:timers/promises too. It
// costs 0.2 µs for each promise while it is on.
const hook = createHook({
  init(_id, type, _trigger, resource) {
    if (type !== 'Timeout') return
    watched.add({
      time: ++clock,
      timer: resource as WatchedTimer['timer'],
      stack: new Error('started').stack ?? '',
    })
    if (watched.size > pruneAt) prune()
  },
})

/** Starts to watch timers. @returns the time now, for {@link timersSince}. */
export function watchTimers(): number {
  hook.enable()
  return clock
}

/** The timers started since then that still run and keep this process running, in words. */
export function timersSince(time: number): readonly string[] {
  prune()
  return [...watched]
    .filter((entry) => entry.time > time && entry.timer.hasRef())
    .map(({ timer, stack }) => ({ timer, origin: originOf(stack) }))
    .filter(({ origin }) => !/[\\/]node_modules[\\/](@?vitest)[\\/]/.test(origin))
    .map(({ timer, origin }) => `timer of ${timer['_idleTimeout']} ms, started ${origin}`)
}

function prune(): void {
  for (const entry of watched) {
    if (entry.timer['_destroyed'] === true) watched.delete(entry)
  }
  pruneAt = Math.max(1_000, watched.size * 2)
}

/** The innermost line of a stack that is not Node's, with preference for one that is no dependency's. */
function originOf(stack: string): string {
  const lines = stack
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .filter((line) => !line.includes('node:') && !line.includes(import.meta.filename))
  const own = lines.find((line) => !/[\\/]node_modules[\\/]/.test(line))
  return own ?? lines[0] ?? 'somewhere in Node'
}
