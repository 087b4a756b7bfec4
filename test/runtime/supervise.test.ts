import { expect, test, vi } from 'vitest'
import { supervise } from '../../packages/core/src/runtime/runner/supervise.ts'
import { LogBook } from '../support/log-book.ts'

test.for(['returns', 'throws'])(
  'a loop that %s at once is started again, and does not spin',
  async (how) => {
    vi.useFakeTimers()
    try {
      const abort = new AbortController()
      let starts = 0
      const supervised = supervise('the loop', abort.signal, new LogBook(), async () => {
        starts += 1
        // One that spins would never let the test go on.
        if (starts > 1_000) abort.abort()
        if (how === 'throws') throw new Error('as told')
      })
      await vi.advanceTimersByTimeAsync(10_000)
      abort.abort()
      await supervised
      expect(starts).toBeGreaterThan(2)
      expect(starts).toBeLessThan(20)
    } finally {
      vi.useRealTimers()
    }
  },
)
