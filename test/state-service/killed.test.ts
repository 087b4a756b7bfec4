import { openStore } from '@tidemark/stores'
import { stateClient } from '@tidemark/stores/client'
import { RedisBackend } from '@tidemark/stores/redis'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import { redisPrograms, RedisServer } from '../stores/redis-server.ts'
import { socketPath } from './served.ts'
import { ServiceProcess } from './service-process.ts'

// As long as the promise says: TIDEMARK_KILLED_SECONDS=120.
const seconds = Number(process.env['TIDEMARK_KILLED_SECONDS'] ?? 3)
const perSecond = 1_000

const programs = redisPrograms().slice(0, 1)
if (programs.length === 0) console.log('No service is killed: redis-server is not installed here')

interface Job {
  readonly edition: number
}

test.skipIf(programs.length === 0)(
  'the service is killed again and again: nobody waits for it, and after sync everything is there',
  { timeout: (seconds + 120) * 1_000 },
  async () => {
    await using server = await RedisServer.start(programs[0] as string)
    const service = new ServiceProcess({
      socket: socketPath(),
      backend: 'redis',
      url: server.url,
    })
    await service.start()
    await using client = stateClient<Job>({ socket: service.socket })

    let over = false
    let kills = 0
    const killing = (async () => {
      while (!over) {
        await new Promise((resolve) => setTimeout(resolve, 1_000))
        await service.kill()
        kills += 1
        await service.start()
      }
    })()

    const wanted = new Map<string, number>()
    const durations: number[] = []
    let [bytes, queued, memory] = [0, 0, 0]
    const begun = performance.now()
    for (let count = 0; count < seconds * perSecond;) {
      const due = ((performance.now() - begun) * perSecond) / 1_000
      for (; count < due; count += 1) {
        // A new job each time, and the one of a second ago completes.
        const id = count % 2 === 0 ? count : Math.max(0, count - perSecond - 1)
        const edition = (wanted.get(`job-${id}`) ?? 0) + 1
        const before = performance.now()
        const kept = client.set(`job-${id}`, {
          value: { edition },
          status: edition === 1 ? 'running' : 'done',
        })
        durations.push(performance.now() - before)
        expect(kept).toBe(true)
        wanted.set(`job-${id}`, edition)
      }
      const { status } = client
      bytes = Math.max(bytes, status.bytes)
      queued = Math.max(queued, status.queued)
      memory = Math.max(memory, process.memoryUsage.rss())
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    over = true
    await killing
    // Whatever was under way when a service died, and whatever has piled up since.
    await client.flush(60_000)
    const report = await client.sync()
    expect(report.refused).toEqual([])

    const redis = new Redis(server.url)
    const store = openStore<Job>(new RedisBackend(redis, 'tidemark'))
    const keys = [...wanted.keys()]
    let right = 0
    for (let start = 0; start < keys.length; start += 1_000) {
      const some = keys.slice(start, start + 1_000)
      for (const [index, state] of (await store.getMany(some)).entries()) {
        if (state?.value.edition === wanted.get(some[index] as string)) right += 1
      }
    }
    redis.disconnect()
    await service.kill()
    expect(right).toBe(keys.length)
    expect(kills).toBeGreaterThan(0)

    durations.sort((a, b) => a - b)
    const [p50, p99, most] = [0.5, 0.99, 1].map(
      (part) => durations[Math.ceil(durations.length * part) - 1] ?? Number.NaN,
    )
    const { missing, older } = report
    console.log(
      `${durations.length} writes, ${keys.length} jobs, ${kills} kills: a call took ${p50?.toFixed(3)} ms (p50), ` +
        `${p99?.toFixed(3)} ms (p99), ${most?.toFixed(1)} ms (max); at most ${queued} waited, all held took ${bytes} bytes of ` +
        `${memory} of the process; sync found ${missing.length} missing, ${older.length} older`,
    )
    expect(bytes).toBeLessThan(67_108_864)
    // What a figure is worth depends on what else the machine does: it is judged where it is asked for.
    expect(p99).toBeLessThan(seconds >= 60 ? 1 : Infinity)
  },
)
