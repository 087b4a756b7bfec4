import { setTimeout as delay } from 'node:timers/promises'
import { clocksCanBeSet, type Worker } from '../worker-pool.ts'
import type { FaultKind, Stage } from './stage.ts'

/** What happens to worker processes, and what operators do with them. */
export const processFaults: readonly FaultKind[] = [
  {
    name: 'a worker is killed',
    bound: 30_000,
    play: async (stage) => {
      const worker = takeWorker(stage)
      await worker.end('SIGKILL')
      await stage.startWorker(worker.release)
    },
  },
  {
    name: 'workers are killed one after the other',
    bound: 30_000,
    play: async (stage) => {
      const deaths = stage.random.whole(3, 6)
      for (let n = 0; n < deaths; n++) {
        const worker = takeWorker(stage)
        await worker.end('SIGKILL')
        await stage.startWorker(worker.release)
        await delay(stage.random.whole(50, 800))
      }
    },
  },
  {
    name: 'a worker is frozen past its lease',
    bound: 30_000,
    play: async ({ workers, random, leaseDuration }) => {
      const worker = random.one(workers)
      worker.signal('SIGSTOP')
      await delay(leaseDuration * (1.2 + random.next()))
      worker.signal('SIGCONT')
    },
  },
  {
    name: 'a worker is drained and replaced',
    bound: 30_000,
    play: async (stage) => {
      const worker = takeWorker(stage)
      await Promise.all([drain(stage, worker), stage.startWorker(worker.release)])
    },
  },
  {
    name: 'the clock of a worker jumps',
    bound: 30_000,
    possible: () => clocksCanBeSet,
    play: async ({ workers, random }) => {
      const worker = random.one(workers)
      worker.setClock(random.one([-86_400, -3_600, -30, 30, 3_600, 86_400]))
      await delay(random.whole(1_000, 3_000))
      if (random.chance(0.5)) worker.setClock(0)
    },
  },
  {
    name: 'a release is deployed and taken back halfway',
    bound: 45_000,
    play: async (stage) => {
      const before = stage.release
      await replace(stage, before + 1)
      await delay(stage.random.whole(0, 1_500))
      await replace(stage, before)
      await deploy(stage, before + 1)
    },
  },
  {
    name: 'workers sleep and are kept waiting',
    bound: 30_000,
    play: async (stage) => {
      const replaceAll = async (safetyPoll?: number): Promise<void> => {
        const old = stage.workers.splice(0)
        await Promise.all(old.map((worker) => drain(stage, worker)))
        await Promise.all(old.map(() => stage.startWorker(stage.release, safetyPoll)))
      }
      await replaceAll(3_600_000)
      await stage.inQuiet(async () => {
        // On a slow wire a batch of what has piled up would take longer than the patience below.
        await stage.requireProgress('what has piled up is handled', 60_000)
        // So that there is a while between a look and what follows from it.
        for (const { wire } of stage.workers) wire.latency = 30
        for (let n = 0; n < 6; n++) {
          // Busy enough to poll, and then quiet: they look, and go to sleep.
          for (let event = 0; event < 150; event++) {
            await stage.pool.query(`SELECT tidemark.publish('ledger.noise', '{}')`)
          }
          await delay(stage.random.whole(0, 1_500))
          await stage.requireProgress('a publisher wakes those that sleep', 15_000)
        }
      })
      await replaceAll()
    },
  },
  {
    name: 'a release is deployed',
    bound: 45_000,
    play: (stage) => deploy(stage, stage.release + 1),
  },
]

async function drain(stage: Stage, worker: Worker): Promise<void> {
  if (!(await worker.end('SIGTERM', 60_000))) {
    stage.violate('a worker ends when it is asked to', { release: worker.release })
  }
}

function takeWorker(stage: Stage): Worker {
  const worker = stage.random.one(stage.workers)
  stage.workers.splice(stage.workers.indexOf(worker), 1)
  return worker
}

/** Replaces one worker by one of a release, the new one first or the old one. */
async function replace(stage: Stage, release: number): Promise<void> {
  const candidates = stage.workers.filter((worker) => worker.release !== release)
  if (candidates.length === 0) return
  const worker = stage.random.one(candidates)
  stage.workers.splice(stage.workers.indexOf(worker), 1)
  if (stage.random.chance(0.5)) {
    await stage.startWorker(release)
    await drain(stage, worker)
  } else {
    await drain(stage, worker)
    await stage.startWorker(release)
  }
}

async function deploy(stage: Stage, release: number): Promise<void> {
  stage.release = release
  while (stage.workers.some((worker) => worker.release !== release)) await replace(stage, release)
}
