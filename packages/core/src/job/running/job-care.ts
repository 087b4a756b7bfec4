import { run } from '../../database/executor.ts'
import {
  cancelChildren,
  forgetWaits,
  jobsOfProcess,
  lookAfterJobs,
  moveLimited,
  parkUnknown,
  putOffLook,
  queuesOf,
  releaseJobs,
  rescueJobs,
  sweepJobDoorbells,
  takeLook,
  unparkKnown,
  wakeJobs,
} from '../../database/sql/job/job-claim.ts'
import { foldJobCounts } from '../../database/sql/job/job-counts.ts'
import { parkPaused, unparkResumed } from '../../database/sql/job/job-holds.ts'
import { releaseSuccessors } from '../../database/sql/job/job-spawn.ts'
import { describeError } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import { wait } from '../../outbox/woken/wait.ts'
import { WakeUps } from '../../outbox/woken/wake-ups.ts'
import { countRescued } from '../../telemetry/job-span.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import type { JobQueues } from '../claimed/job-queues.ts'

// How often is looked what there is to look after, in milliseconds, and how often at the latest while there is nothing.
const shortest = 250
const longest = 1_000

// How many jobs are moved by one statement, and by how many in one go.
const pageSize = 1_000
const mostPages = 20

// When a process looks through all that can be claimed for the first time, in milliseconds after its start.
const firstSort = 1_000

// The longest time between two looks through all that can be claimed, in milliseconds.
const longestBetween = 600_000

// A claim that was committed so long ago and is not known here had its answer lost.
const orphanAge = 5_000

/** What there is to look after. */
interface Look {
  readonly waits: boolean
  readonly successors: boolean
  readonly cancellations: boolean
  readonly counts: boolean
}

/** Looks after the jobs of all processes: those that wait for something, those whose process has died, unknown types. */
export class JobCare {
  readonly #environment: JobEnvironment
  readonly #queues: JobQueues
  readonly #isKnown: (id: string) => boolean
  readonly #onClaimable: () => void
  readonly #ends = new WakeUps(1_000 / shortest)

  /**
   * @param queues - those that this process takes jobs from.
   * @param isKnown - whether this process has the job, runs it, or is about to write how it ended.
   * @param onClaimable - called when there may be more to claim than before.
   */
  constructor(
    environment: JobEnvironment,
    queues: JobQueues,
    isKnown: (id: string) => boolean,
    onClaimable: () => void,
  ) {
    this.#environment = environment
    this.#queues = queues
    this.#isKnown = isKnown
    this.#onClaimable = onClaimable
  }

  /** To be called when a job of this process has ended, or waits: others may go on because of it. */
  ring(): void {
    this.#ends.ring()
  }

  /** Returns when the signal aborts. */
  async tend(signal: AbortSignal): Promise<void> {
    const { database, outbox, leaseDuration } = this.#environment
    const { schema } = outbox
    const rescueEvery = Math.min(2_000, leaseDuration / 4)
    let rescued = Number.NEGATIVE_INFINITY
    let parked = Number.NEGATIVE_INFINITY
    // Not at once: whoever runs for a moment, as tests do, has other things to do.
    let sorted = performance.now() + firstSort - leaseDuration / 2
    while (!signal.aborted) {
      const { waits, successors, cancellations, counts } = await this.#look()
      if (waits) await this.#wakeWaiting()
      if (successors) await this.#releaseSuccessors()
      if (cancellations) await run(database, cancelChildren(schema), [])
      if (performance.now() - rescued >= rescueEvery) {
        await this.#rescue()
        if (waits) await run(database, forgetWaits(schema), [])
        if (counts) await run(database, foldJobCounts(schema), [])
        await this.#releaseOrphans()
        await this.#findQueues()
        rescued = performance.now()
      }
      if (performance.now() - parked >= leaseDuration / 2) {
        const all = await this.#unpark()
        if (all) parked = performance.now()
      }
      if (performance.now() - sorted >= leaseDuration / 2) {
        await this.#sortInTurn()
        sorted = performance.now()
      }
      await wait(shortest, signal)
      if (!waits && !successors && !cancellations) {
        await this.#ends.wait(longest - shortest, signal)
      }
    }
  }

  async #look(): Promise<Look> {
    const { database, outbox } = this.#environment
    const { rows } = await run(database, lookAfterJobs(outbox.schema), [])
    return rows[0] as unknown as Look
  }

  async #rescue(): Promise<void> {
    const { database, outbox, leaseDuration, logger } = this.#environment
    const error = new TidemarkError(
      'TIDEMARK_JOB_LOST',
      'the process that ran the job was not heard of any more',
    )
    const { rows } = await run(database, rescueJobs(outbox.schema), [
      leaseDuration,
      JSON.stringify(describeError(error)),
    ])
    if (rows.length === 0) return
    countRescued(outbox.schema, rows.length)
    logger.warn({ jobs: rows.length }, `${rows.length} jobs of a silent process are run again`)
    this.#onClaimable()
  }

  /** Gives back what was claimed for this process by a statement whose answer never came. */
  async #releaseOrphans(): Promise<void> {
    const { database, outbox, process } = this.#environment
    const { rows } = await run(database, jobsOfProcess(outbox.schema), [process, orphanAge])
    const orphans = rows.filter((row) => !this.#isKnown(row['id'] as string))
    if (orphans.length === 0) return
    await run(database, releaseJobs(outbox.schema), [
      orphans.map((row) => row['id']),
      orphans.map((row) => row['token']),
    ])
    this.#onClaimable()
  }

  /** Finds jobs of the types of this process in other queues than those that its definitions name. */
  async #findQueues(): Promise<void> {
    const { database, outbox, spawner } = this.#environment
    const values = [spawner.registry.names, this.#queues.own, this.#queues.most]
    const { rows } = await run(database, queuesOf(outbox.schema), values)
    if (this.#queues.takeUp(rows.map((row) => row['name'] as string))) this.#onClaimable()
  }

  /** Lets go on what was to replace a job that had begun, and that has ended by now. */
  async #releaseSuccessors(): Promise<void> {
    const { database, outbox } = this.#environment
    const { rows } = await run(database, releaseSuccessors(outbox.schema), [])
    if (rows[0]?.['released'] !== 0) this.#onClaimable()
  }

  async #wakeWaiting(): Promise<void> {
    const { database, outbox } = this.#environment
    const horizon = await readHorizon(database, outbox.schema)
    const woken = await run(database, wakeJobs(outbox.schema), [horizon.sequence])
    if (woken.rows[0]?.['woken'] !== '0') this.#onClaimable()
  }

  /**
   * Takes back what was put aside for want of a process, and this one runs, and what was resumed since; answers whether
   * that is all.
   */
  async #unpark(): Promise<boolean> {
    const { database, outbox, spawner } = this.#environment
    const { names } = spawner.registry
    const values = [names, spawner.registry.versionsOf(names)]
    await run(database, sweepJobDoorbells(outbox.schema), [])
    for (let page = 0; page < mostPages; page++) {
      const known = await run(database, unparkKnown(outbox.schema), values)
      const resumed = await run(database, unparkResumed(outbox.schema), [])
      const jobs = (known.rowCount ?? 0) + (resumed.rows[0]?.['jobs'] as number)
      if (jobs > 0) this.#onClaimable()
      if (jobs < pageSize) return true
    }
    return false
  }

  /** Looks through all that can be claimed. So one process does it for all, a twentieth of the time at most. */
  async #sortInTurn(): Promise<void> {
    const { database, outbox, leaseDuration } = this.#environment
    const { rows } = await run(database, takeLook(outbox.schema), ['types', leaseDuration])
    if (rows.length === 0) return
    const began = performance.now()
    await this.#sort()
    const took = performance.now() - began
    const pause = Math.min(Math.max(leaseDuration / 2, 20 * took), longestBetween)
    await run(database, putOffLook(outbox.schema), ['types', pause])
  }

  /** Puts jobs that no live process runs or that are paused aside, and those whose limits have changed where they belong. */
  async #sort(): Promise<void> {
    const { database, outbox, leaseDuration, logger } = this.#environment
    const moved = await run(database, moveLimited(outbox.schema), [])
    if ((moved.rowCount ?? 0) > 0) this.#onClaimable()
    for (let page = 0; page < mostPages; page++) {
      const { rowCount } = await run(database, parkPaused(outbox.schema), [])
      if ((rowCount ?? 0) < pageSize) break
    }
    const unknown = new Set<string>()
    for (let page = 0; page < mostPages; page++) {
      const { rows } = await run(database, parkUnknown(outbox.schema), [leaseDuration])
      for (const row of rows) {
        unknown.add(`${String(row['name'])} (version ${String(row['needs'])})`)
      }
      if (rows.length < pageSize) break
    }
    if (unknown.size === 0) return
    const names = [...unknown]
    logger.warn({ names }, `no live process runs ${names.join(', ')}: the jobs wait`)
  }
}
