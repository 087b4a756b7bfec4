import { afterEach, expect, test, vi } from 'vitest'
import type { Database } from '../../packages/core/src/database/pool.ts'
import { Tail } from '../../packages/core/src/outbox/read/tail.ts'
import type { Doorbell } from '../../packages/core/src/outbox/woken/doorbell.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

test('what a publisher took is not as much again until its event is found, and a long one costs few looks', async () => {
  let now = 0
  let looks = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  const stopped = new AbortController()
  // Somebody publishes who registered before anybody was armed: no ring will tell.
  const database = {
    run: async () => {
      looks += 1
      return { rows: [{ last_sequence: '7', lowest_floor: '0', still: true }], rowCount: 1 }
    },
  }
  const waits: { readonly at: number; readonly ms: number }[] = []
  const doorbell = {
    armed: true,
    polling: false,
    wait: async (ms: number) => {
      waits.push({ at: now, ms })
      now += ms
      if (now > 60_000) stopped.abort()
      return false
    },
  }
  const tail = new Tail(
    database as unknown as Database,
    'tidemark',
    doorbell as unknown as Doorbell,
    () => true,
    {},
  )
  await tail.follow(stopped.signal)
  // Whenever it ends, it is found at the next look.
  for (const { at, ms } of waits) expect(ms).toBeLessThanOrEqual(Math.max(2, at / 4))
  expect(looks).toBeLessThan(300)
})
