import { run } from '../../database/executor.ts'
import {
  claimJobs,
  claimObservedJobs,
  markSuspect,
  nextJobDue,
  releaseJobs,
} from '../../database/sql/job/job-claim.ts'
import { isObserved } from '../../telemetry/job-span.ts'
import type { Attempt } from '../attempted/attempt.ts'
import { Attempts } from '../attempted/attempts.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import type { ClaimedJob } from '../claimed/claimed-job.ts'
import type { JobQueue } from '../claimed/job-queue.ts'
import { JobQueues, type QueueConcurrency } from '../claimed/job-queues.ts'
import { Suspects } from '../claimed/suspects.ts'
import { WakeUp } from '../claimed/wake-up.ts'
import type { JobRetention } from '../declared/retention.ts'
import { failedOrRetried } from '../settled/verdict.ts'
import { execute } from './execution.ts'
import { JobCare } from './job-care.ts'
import { JobEnds } from './job-ends.ts'
import { SharedCommit } from './shared-commit.ts'
import { executeBatch, type Ended } from './transactional-batch.ts'

/** How a process runs jobs. */
export interface JobRunnerOptions {
  /** How many jobs run side by side in this process, in each queue or by queue. Defaults to 10. */
  readonly concurrency?: QueueConcurrency
  /** How many connections the transactions of jobs may take, besides the application's pool. Defaults to 10. */
  readonly connections?: number
  /** How long a stop waits for jobs under way before it gives them back, in milliseconds. Defaults to 30000. */
  readonly drainTimeout?: number
  /** How long finished jobs are kept whose definition says nothing of it. Defaults to for ever. */
  readonly retention?: JobRetention
  /** Where the directories of jobs are (`ctx.dataDir`). Defaults to `tidemark` in the system's temporary directory. */
  readonly dataDir?: string
}

const firstIdle = 5
const longestIdle = 1_000
const pollInterval = 5
// Without an ear for the doorbell.
const deafPoll = 250

/** Attempts with how they have ended. */
type AllEnded = Iterable<readonly [Attempt, Ended]>

/** Runs the jobs of an application in one process. */
export class JobRunner {
  readonly #environment: JobEnvironment
  readonly #queues: JobQueues
  readonly #names: readonly string[]
  readonly #versions: readonly number[]
  readonly #attempts: Attempts
  readonly #suspects = new Suspects()
  readonly #care: JobCare
  readonly #ends: JobEnds
  readonly #wake: WakeUp
  readonly #hears: () => boolean
  readonly #drainTimeout: number
  readonly #connections: number
  readonly #impatience = new AbortController()
  readonly #begun = Promise.withResolvers<void>()
  #ended = Promise.withResolvers<void>()
  #batches = 0
  #dispatching = false
  #draining = false

  /** @param hears - whether the process would hear the doorbell. */
  constructor(environment: JobEnvironment, options: JobRunnerOptions, hears: () => boolean) {
    const { database, outbox, process, spawner } = environment
    this.#environment = environment
    this.#hears = hears
    this.#drainTimeout = options.drainTimeout ?? 30_000
    const { concurrency, connections = 10 } = options
    this.#connections = connections
    const { registry } = spawner
    this.#names = registry.names
    this.#versions = registry.versionsOf(registry.names)
    this.#queues = new JobQueues(registry.queues, concurrency)
    this.#attempts = new Attempts(environment)
    this.#wake = new WakeUp(database, outbox.schema, process)
    this.#ends = new JobEnds(environment, this.#attempts, this.#impatience.signal, () => {
      this.#wake.ring()
      this.#care.ring()
      this.#runSuspect()
    })
    this.#care = new JobCare(
      environment,
      this.#queues,
      (id) => this.#isKnown(id),
      () => this.#wake.ring(),
    )
  }

  /** How many jobs run in this process now. */
  get running(): number {
    return [...this.#queues].reduce((sum, queue) => sum + queue.running, 0)
  }

  /** Resolves when it has asked for jobs once, whatever came of it. */
  get begun(): Promise<void> {
    return this.#begun.promise
  }

  /** To be called when a notification has come, or the connection that hears them. */
  ring(): void {
    this.#wake.ring()
  }

  /** Fails the attempt whose code has just thrown what nobody caught; undefined: it is of no attempt that runs here. */
  fail(error: unknown): { readonly job: string; readonly name: string } | undefined {
    const attempt = this.#attempts.current()
    attempt?.fail(error)
    return attempt && { job: attempt.job.id, name: attempt.definition.name }
  }

  /** To be told now and then whether the database knows that spawners are to ring. */
  confirm(armed: boolean): void {
    this.#wake.confirm(armed)
  }

  /** To be called when connections were lost: the doorbell may be disarmed. */
  forget(): void {
    this.#wake.forget()
  }

  /** Claims and runs jobs until the signal aborts. */
  async work(signal: AbortSignal): Promise<void> {
    let idle = firstIdle
    while (!signal.aborted) {
      await this.#attempts.review()
      const { wanted, found, more } = await this.#claimAll().finally(this.#begun.resolve)
      if (found > 0) idle = firstIdle
      if (more) continue
      this.#wake.count(found > 0)
      // There is no room: what ends in this process rings.
      if (wanted === 0) await this.#wake.wait(longestIdle, signal)
      else if (this.#wake.polling) {
        await this.#wake.arm(false)
        await this.#wake.wait(pollInterval, signal)
      } else if (!this.#hears()) {
        await this.#wake.arm(false)
        await this.#wake.wait(Math.min(deafPoll, await this.#due()), signal)
      } else if (!this.#wake.armed) {
        // Armed first, then looked: whoever spawns from now on rings.
        await this.#wake.arm(true)
      } else {
        const woken = await this.#wake.wait(Math.min(idle, await this.#due()), signal)
        idle = woken ? firstIdle : Math.min(idle * 2, longestIdle)
      }
    }
  }

  /** Looks after jobs that wait for something, and after processes that have died. Returns when the signal aborts. */
  tend(signal: AbortSignal): Promise<void> {
    return this.#care.tend(signal)
  }

  /** Gives back what has not begun, lets what runs finish, and takes it back when it does not in time. */
  async drain(): Promise<void> {
    this.#draining = true
    await this.#releaseWaiting()
    this.#attempts.interruptAll('drain')
    const late = setTimeout(() => {
      this.#attempts.interruptAll('shutdown')
      this.#impatience.abort()
    }, this.#drainTimeout)
    while (this.running > 0) {
      this.#ended = Promise.withResolvers<void>()
      await this.#ended.promise
    }
    await this.#ends.drained()
    clearTimeout(late)
    await this.#wake.remove()
  }

  /** Answers how many it asked for and got, and whether one of the queues may hold more than what it was asked for. */
  async #claimAll(): Promise<{ wanted: number; found: number; more: boolean }> {
    const { database, outbox, process } = this.#environment
    this.#queues.giveUp(this.#suspects.next?.queue)
    let wanted = 0
    let found = 0
    let more = false
    for (const queue of this.#queues) {
      const late = queue.takeLate()
      if (late.length > 0) {
        await this.#release(late)
        continue
      }
      // A suspect waits until it is alone, and runs alone.
      if (this.#suspects.block) break
      const want = Math.min(queue.wanted(this.#ends.unsettled), this.#suspects.most)
      if (want === 0) continue
      wanted += want
      const values = [process, queue.name, this.#names, want, this.#versions]
      const claim = isObserved() ? claimObservedJobs : claimJobs
      const { rows } = await run(database, claim(outbox.schema), values)
      found += rows.length
      more ||= rows.length >= want
      const { usual, back } = this.#suspects.sort(queue, rows as unknown as ClaimedJob[])
      queue.add(usual)
      // What has not begun would die with the suspect, and become one.
      if (this.#draining || this.#suspects.block) await this.#releaseWaiting(back)
      this.#dispatchSoon()
    }
    this.#runSuspect()
    return { wanted, found, more }
  }

  async #due(): Promise<number> {
    const { database, outbox } = this.#environment
    const { rows } = await run(database, nextJobDue(outbox.schema), [])
    const due = rows[0]?.['due'] as number | null | undefined
    // A millisecond late rather than a millisecond early, for nothing.
    return due === null || due === undefined ? longestIdle : Math.ceil(due) + 1
  }

  /** Begins the suspect when nothing else runs in this process, and no end of anything is being written. */
  #runSuspect(): void {
    // Asked after each job: what is mostly so comes first.
    if (this.#suspects.next === undefined || this.#draining) return
    if (this.running > 0 || !this.#ends.idle) return
    const suspect = this.#suspects.begin()
    if (suspect === undefined) return
    const { queue, job } = suspect
    const attempt = this.#attempts.begin(job)
    const { name } = attempt.definition
    const fields = { job: job.id, name, deaths: job.deaths }
    this.#environment.logger.warn(fields, `${name} runs alone: processes died while they ran it`)
    const work = async (): Promise<AllEnded> =>
      (await this.#mark(attempt)) ? this.#execute([attempt]) : [[attempt, { kind: 'unbegun' }]]
    void this.#occupy(queue, [attempt], work).finally(() => {
      this.#suspects.end()
      this.#wake.ring()
    })
  }

  /** Counts the death before it happens; a job whose mark cannot be written is given back. */
  async #mark(attempt: Attempt): Promise<boolean> {
    const { database, outbox, logger } = this.#environment
    try {
      await run(database, markSuspect(outbox.schema), attempt.fence)
      return true
    } catch (error) {
      logger.warn({ err: error, job: attempt.job.id }, 'a suspect could not begin')
      return false
    }
  }

  /** Starts jobs when the next claim is on its way: short jobs keep the process from sending anything. */
  #dispatchSoon(): void {
    if (this.#dispatching) return
    this.#dispatching = true
    setImmediate(() => {
      this.#dispatching = false
      this.#dispatchAll()
    })
  }

  #dispatchAll(): void {
    for (const queue of this.#queues) this.#dispatch(queue)
  }

  /** Starts jobs while there are slots. */
  #dispatch(queue: JobQueue): void {
    while (queue.hasSlot && !this.#draining && !this.#suspects.block) {
      // Another batch would only wait for a connection.
      const full = this.#batches >= this.#connections
      const job = full ? queue.takeFirst((next) => !this.#isTransactional(next)) : queue.take()
      if (job === undefined) return
      const attempt = this.#attempts.begin(job)
      const batch = this.#batchAround(queue, attempt)
      void this.#occupy(queue, batch, () => this.#execute(batch))
    }
  }

  #isTransactional({ name }: ClaimedJob): boolean {
    return this.#environment.spawner.registry.get(name)?.transact !== undefined
  }

  /** The attempt with as many others as may share its commit. */
  #batchAround(queue: JobQueue, first: Attempt): readonly Attempt[] {
    const batch = [first]
    if (first.definition.transact === undefined) return batch
    const commit = new SharedCommit(first.definition)
    for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
      const definition = this.#environment.spawner.registry.get(next.name)
      if (definition === undefined || !commit.admits(definition)) break
      queue.take()
      batch.push(this.#attempts.begin(next))
    }
    return batch
  }

  /** Runs jobs in a slot, which is free again whatever happens. Never throws. */
  async #occupy(
    queue: JobQueue,
    attempts: readonly Attempt[],
    work: () => Promise<AllEnded>,
  ): Promise<void> {
    queue.begin()
    const started = performance.now()
    try {
      const unbegun: Attempt[] = []
      for (const [attempt, ended] of await work()) {
        if (ended.kind === 'unbegun') unbegun.push(attempt)
        else this.#ends.conclude(attempt, ended)
      }
      for (const attempt of unbegun) {
        attempt.end()
        this.#attempts.forget(attempt)
      }
      await this.#release(unbegun.map(({ job }) => job))
    } catch (error) {
      for (const attempt of attempts) {
        this.#ends.conclude(attempt, failedOrRetried(attempt, error))
      }
    } finally {
      queue.end(performance.now() - started, attempts.length)
      this.#afterRun(queue)
    }
  }

  /** Runs one job outside of a transaction, or those that share one. */
  async #execute(attempts: readonly Attempt[]): Promise<AllEnded> {
    const [first] = attempts
    if (first === undefined) return []
    if (first.definition.transact === undefined) return [[first, await execute(first)]]
    this.#batches += 1
    try {
      return await executeBatch(this.#environment, attempts)
    } finally {
      this.#batches -= 1
    }
  }

  #afterRun(queue: JobQueue): void {
    this.#dispatchAll()
    this.#runSuspect()
    if (queue.isHungry(this.#ends.unsettled)) this.#wake.ring()
    this.#ended.resolve()
  }

  /** Whether the job is in this process. */
  #isKnown(id: string): boolean {
    return (
      this.#ends.completes(id) ||
      this.#attempts.has(id) ||
      this.#suspects.next?.job.id === id ||
      [...this.#queues].some((queue) => queue.claimed.includes(id))
    )
  }

  /** Gives back what has not begun, and `more`; a suspect only when the process stops. */
  async #releaseWaiting(more: readonly ClaimedJob[] = []): Promise<void> {
    const jobs = [...[...this.#queues].flatMap((queue) => queue.takeAll()), ...more]
    if (this.#draining) jobs.push(...this.#suspects.take())
    await this.#release(jobs)
  }

  /** Nobody will know that they were claimed. Never throws: what could not be given back is found by the care. */
  async #release(jobs: readonly ClaimedJob[]): Promise<void> {
    if (jobs.length === 0) return
    const { database, outbox, logger } = this.#environment
    const sorted = jobs.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const values = [sorted.map(({ id }) => id), sorted.map(({ token }) => token)]
    await run(database, releaseJobs(outbox.schema), values).catch((error: unknown) => {
      logger.warn({ err: error }, 'claimed jobs could not be given back')
    })
  }
}
