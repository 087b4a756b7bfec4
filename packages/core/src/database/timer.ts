// What Node waits at most: a longer time, it takes for one millisecond.
const longest = 2_147_483_647

/** A timer that can be stopped. */
export interface Timer {
  clear(): void
  /** Begins anew with the same length of time. */
  refresh(): void
}

/**
 * Calls `callback` once, after any length of time: one that is longer than Node's timers are waited for in parts.
 *
 * @param ms - less than 0 counts as 0, and infinity as never.
 */
export function after(ms: number, callback: () => void): Timer {
  let timer: NodeJS.Timeout | undefined
  let due = performance.now() + ms
  const arm = (left: number): void => {
    timer = setTimeout(
      () => {
        const rest = due - performance.now()
        // A timer of Node may be a millisecond early: only what was cut goes on.
        if (left > longest && rest > 0) arm(rest)
        else callback()
      },
      Math.min(longest, Math.max(0, left)),
    )
  }
  arm(ms)
  return {
    clear: () => clearTimeout(timer),
    refresh: () => {
      if (ms <= longest) {
        timer?.refresh()
        return
      }
      clearTimeout(timer)
      due = performance.now() + ms
      arm(ms)
    },
  }
}

/** A signal that aborts with a TimeoutError after so long, and after 24 days at the latest, which is as long as Node waits. */
export function timeoutSignal(ms: number): AbortSignal {
  return AbortSignal.timeout(Math.min(longest, ms))
}

/** Calls `callback` again and again, after any length of time each. */
export function every(ms: number, callback: () => void): Timer {
  const timer = after(ms, () => {
    timer.refresh()
    callback()
  })
  return timer
}
