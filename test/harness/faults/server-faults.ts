import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import type { FaultKind, Stage } from './stage.ts'

/** What happens to the server and to connections. */
export const serverFaults: readonly FaultKind[] = [
  stopped('the server is stopped fast', 'SIGINT'),
  stopped('the server is stopped immediately', 'SIGQUIT'),
  {
    name: 'the server is killed',
    bound: 30_000,
    play: async ({ server, random }) => {
      await server.kill()
      await delay(random.whole(0, 1_500))
      await server.restart()
    },
  },
  {
    name: 'backends are terminated',
    bound: 30_000,
    play: async ({ pool, random }) => {
      const rounds = random.whole(1, 8)
      for (let n = 0; n < rounds; n++) {
        await pool.query(
          `SELECT pg_terminate_backend(pid) FROM (
             SELECT pid FROM pg_stat_activity WHERE datname = current_database()
               AND backend_type = 'client backend' AND application_name <> 'tidemark harness'
             ORDER BY random() LIMIT $1) AS b`,
          [random.one([1, 1, 2, 5, 100])],
        )
        await delay(random.whole(0, 300))
      }
    },
  },
  {
    name: 'connections are half-open',
    bound: 45_000,
    play: async ({ workers, random }) => {
      const worker = random.one(workers)
      const share = random.one([0.3, 0.7, 1])
      worker.wire.loseConnections(() => random.chance(share))
      await delay(random.whole(1_000, 6_000))
      worker.wire.resetLost()
    },
  },
  {
    name: 'the wire is slow',
    bound: 30_000,
    play: async ({ workers, random }) => {
      const worker = random.one(workers)
      worker.wire.latency = random.whole(5, 120)
      await delay(random.whole(1_000, 4_000))
      worker.wire.latency = 0
    },
  },
  {
    // Commits whose answer never comes.
    name: 'connections are cut on a slow wire',
    bound: 30_000,
    play: async ({ workers, random }) => {
      const worker = random.one(workers)
      worker.wire.latency = random.whole(20, 80)
      const cuts = random.whole(3, 8)
      for (let n = 0; n < cuts; n++) {
        await delay(random.whole(200, 600))
        worker.wire.cut()
      }
      worker.wire.latency = 0
    },
  },
  {
    // Its other connections stay, and so do its leases: it has to find out by itself.
    name: 'answers to commits are lost',
    bound: 30_000,
    play: async ({ workers, random }) => {
      const { wire } = random.one(workers)
      const rounds = random.whole(2, 5)
      for (let n = 0; n < rounds; n++) {
        wire.loseAnswers(random.whole(1, 3))
        await delay(random.whole(300, 900))
      }
      wire.loseAnswers(0)
    },
  },
  {
    // Whoever has taken its work over is in the middle of it by then.
    name: 'what a worker sends arrives after its lease',
    bound: 30_000,
    play: async ({ workers, random, leaseDuration, spawnMany }) => {
      const worker = random.one(workers)
      // So that there is much that ends meanwhile.
      await spawnMany('wander', 40)
      await delay(random.whole(100, 500))
      worker.wire.hold()
      await delay(leaseDuration * (1.1 + random.next() * 0.9))
      worker.wire.deliver()
    },
  },
  {
    name: 'no connection is free',
    bound: 30_000,
    play: async ({ url, random, pool }) => {
      const hogs = await takeAll(url)
      try {
        if (random.chance(0.5)) {
          // Who is sent away now does not come back in.
          await pool.query(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
               AND backend_type = 'client backend' AND application_name LIKE 'tidemark%'
               AND application_name <> 'tidemark harness'`,
          )
          hogs.push(...(await takeAll(url)))
        }
        await delay(random.whole(500, 3_000))
      } finally {
        await Promise.all(hogs.map((hog) => hog.end()))
      }
    },
  },
]

function stopped(name: string, signal: 'SIGINT' | 'SIGQUIT'): FaultKind {
  return {
    name,
    bound: 30_000,
    play: async ({ server, random }: Stage) => {
      const { pid } = server
      if (pid === undefined) return
      process.kill(pid, signal)
      while (lives(pid)) await delay(10)
      await delay(random.whole(0, 1_500))
      await server.restart()
    },
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function takeAll(url: string): Promise<pg.Client[]> {
  const taken: pg.Client[] = []
  for (;;) {
    const hog = new pg.Client({ connectionString: url, application_name: 'hog' })
    hog.on('error', () => {})
    try {
      await hog.connect()
    } catch {
      return taken
    }
    taken.push(hog)
  }
}
