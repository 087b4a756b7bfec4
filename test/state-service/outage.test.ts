import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { NewState } from '@tidemark/stores'
import { stateClient } from '@tidemark/stores/client'
import { memoryStore } from '@tidemark/stores/memory'
import { silentLogger } from 'tidemark'
import { expect, test } from 'vitest'
import { serve, socketPath } from './served.ts'

// An hour of 1,000 writes a second: TIDEMARK_OUTAGE_WRITES=3600000.
const writes = Number(process.env['TIDEMARK_OUTAGE_WRITES'] ?? 30_000)
const isHour = writes >= 3_600_000
const mostBytes = isHour ? 67_108_864 : 1_048_576
// More of them than there is room for.
const jobs = writes / 20

interface Job {
  readonly edition: number
}

const text = 'x'.repeat(100)
const keyOf = (job: number): string => `job-${job}`
const stateOf = (edition: number): NewState<Job> => ({
  value: { edition },
  status: 'running',
  fields: { text },
})

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** What this process holds, in bytes. */
function held(): number {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test(
  'an outage of an hour costs lag and no memory, and is healed by sync',
  { timeout: 15 * 60_000 },
  async () => {
    const socket = socketPath()
    await using client = stateClient<Job>({ socket, mostBytes, logger: silentLogger })
    const before = held()
    let longest = 0
    for (let index = 0; index < writes; index += 1) {
      const begun = performance.now()
      client.set(keyOf(index % jobs), stateOf(Math.floor(index / jobs)))
      longest = Math.max(longest, performance.now() - begun)
      if (index % 1_000 !== 0) continue
      // As in an hour: whatever else the process does gets its turns.
      await new Promise((resolve) => setImmediate(resolve))
      expect(client.status.bytes).toBeLessThanOrEqual(mostBytes)
    }
    const grown = held() - before
    const { states, bytes, queued, dropped, lag } = client.status
    console.log(
      `${writes} writes in an outage, ${longest.toFixed(1)} ms the longest: ${states} of ${jobs} states are held in ` +
        `${bytes} bytes, the process holds ${grown} more, and ${dropped} writes found no room`,
    )
    expect(queued).toBe(states)
    expect(dropped).toBeGreaterThan(0)
    expect(lag).toBeGreaterThan(0)
    // Twice what it says, and what the test itself leaves.
    expect(grown).toBeLessThan(2 * mostBytes + 33_554_432)

    const store = memoryStore<Job>()
    await serve({ socket, store, requestsPerSecond: 1_000_000 })
    const last = Math.floor((writes - 1) / jobs)
    const all = (function* () {
      for (let job = 0; job < jobs; job += 1) yield [keyOf(job), stateOf(last)] as const
    })()
    const report = await client.sync(all)
    expect(report.refused).toEqual([])
    expect(client.status).toMatchObject({ queued: 0, lag: 0, dropped: 0 })
    expect(client.status.bytes).toBeLessThanOrEqual(mostBytes)
    for (let start = 0; start < jobs; start += 1_000) {
      const keys = Array.from({ length: Math.min(1_000, jobs - start) }, (_, n) => keyOf(start + n))
      const found = await store.getMany(keys)
      expect(found.every((state) => state?.value.edition === last)).toBe(true)
    }
  },
)
