import { run } from '../../database/executor.ts'
import {
  claimJobs,
  claimObservedJobs,
  nextJobDue,
  releaseJobs,
} from '../../database/sql/job/job-claim.ts'
import { isObserved } from '../../telemetry/job-span.ts'
import type { Attempt } from '../attempted/attempt.ts'
import { Attempts } from '../attempted/attempts.ts'
import type { JobEnvironment } from '../attempted/environment.ts'
import type { ClaimedJob } from '../claimed/claimed-job.ts'
import { JobQueue } from '../claimed/job-queue.ts'
import { WakeUp } from '../claimed/wake-up.ts'
import { notStorable } from '../defined/job-codec.ts'
import type { JobRetention } from '../defined/retention.ts'
import { Completions } from '../settled/completions.ts'
import { settle, type Outcome, type Unfinished } from '../settled/settlement.ts'
import { failedOrRetried } from '../settled/verdict.ts'
import { execute } from './execution.ts'
import { JobCare } from './job-care.ts'
import { executeBatch } from './transactional-batch.ts'

/** How a process runs jobs. */
export interface JobRunnerOptions {
  /** How many jobs run side by side in this process, in each queue or by queue. Defaults to 10. */
  readonly concurrency?: number | Readonly<Record<string, number>>
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

/** Runs the jobs of an application in one process. */
export class JobRunner {
  readonly #environment: JobEnvironment
  readonly #queues: readonly JobQueue[]
  readonly #attempts: Attempts
  readonly #care: JobCare
  readonly #completions: Completions
  readonly #wake: WakeUp
  readonly #hears: () => boolean
  readonly #drainTimeout: number
  readonly #connections: number
  readonly #impatience = new AbortController()
  readonly #settling = new Set<Promise<void>>()
  #ended = Promise.withResolvers<void>()
  #batches = 0
  #draining = false

  /** @param hears - whether the process would hear the doorbell. */
  constructor(environment: JobEnvironment, options: JobRunnerOptions, hears: () => boolean) {
    const { database, outbox, process, spawner } = environment
    this.#environment = environment
    this.#hears = hears
    this.#drainTimeout = options.drainTimeout ?? 30_000
    const { concurrency = 10, connections = 10 } = options
    this.#connections = connections
    this.#queues = [...spawner.registry.queues].map(
      ([name, names]) =>
        new JobQueue(
          name,
          names,
          typeof concurrency === 'number' ? concurrency : (concurrency[name] ?? 10),
        ),
    )
    this.#attempts = new Attempts(environment)
    this.#wake = new WakeUp(database, outbox.schema, process)
    this.#completions = new Completions(
      environment,
      this.#impatience.signal,
      () => {
        this.#wake.ring()
        this.#noteEnd()
      },
      (attempt, error) => {
        const refused = notStorable(`the output of ${attempt.definition.name}`, '', error)
        this.#write(attempt, { kind: 'failed', error: refused })
      },
    )
    this.#care = new JobCare(
      environment,
      (id) => this.#isKnown(id),
      () => this.#wake.ring(),
    )
  }

  /** How many jobs run in this process now. */
  get running(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.running, 0)
  }

  /** To be called when a notification has come, or the connection that hears them. */
  ring(): void {
    this.#wake.ring()
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
      const { wanted, found } = await this.#claimAll()
      if (found > 0) {
        idle = firstIdle
        if (found >= wanted) continue
      }
      this.#wake.count(found > 0)
      // No slot is free: what ends in this process rings.
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
    await this.#releaseWaiting().catch((error: unknown) => {
      this.#environment.logger.warn({ err: error }, 'claimed jobs could not be given back')
    })
    this.#attempts.interruptAll('drain')
    const late = setTimeout(() => {
      this.#attempts.interruptAll('shutdown')
      this.#impatience.abort()
    }, this.#drainTimeout)
    while (this.running > 0 || this.#settling.size > 0) {
      this.#ended = Promise.withResolvers<void>()
      await this.#ended.promise
    }
    await this.#completions.drained()
    clearTimeout(late)
    await this.#wake.remove()
  }

  async #claimAll(): Promise<{ wanted: number; found: number }> {
    const { database, outbox, process } = this.#environment
    let wanted = 0
    let found = 0
    for (const queue of this.#queues) {
      const want = queue.wanted(this.#completions.unsettled)
      if (want === 0) continue
      wanted += want
      const values = [process, queue.name, queue.names, want]
      const claim = isObserved() ? claimObservedJobs : claimJobs
      const { rows } = await run(database, claim(outbox.schema), values)
      found += rows.length
      queue.add(rows as unknown as ClaimedJob[])
      if (this.#draining) await this.#releaseWaiting()
      else this.#dispatch(queue)
    }
    return { wanted, found }
  }

  async #due(): Promise<number> {
    const { database, outbox } = this.#environment
    const { rows } = await run(database, nextJobDue(outbox.schema), [])
    const due = rows[0]?.['due'] as number | null | undefined
    // A millisecond late rather than a millisecond early, for nothing.
    return due === null || due === undefined ? longestIdle : Math.ceil(due) + 1
  }

  /** Starts jobs while there are slots. */
  #dispatch(queue: JobQueue): void {
    while (queue.hasSlot && !this.#draining) {
      const next = queue.peek()
      if (next === undefined) return
      // Another batch would only wait for a connection.
      if (this.#isTransactional(next) && this.#batches >= this.#connections) return
      const job = queue.take() ?? next
      const attempt = this.#attempts.begin(job)
      if (attempt.definition.transact === undefined) void this.#runAlone(queue, attempt)
      else void this.#runBatch(queue, this.#batchAround(queue, attempt))
    }
  }

  #isTransactional({ name }: ClaimedJob): boolean {
    return this.#environment.spawner.registry.get(name)?.transact !== undefined
  }

  /** The attempt with as many others as may share its commit. */
  #batchAround(queue: JobQueue, first: Attempt): readonly Attempt[] {
    const batch = [first]
    while (batch.length < queue.batchSize) {
      const next = queue.peek()
      if (next === undefined) break
      if (!this.#isTransactional(next)) break
      queue.take()
      batch.push(this.#attempts.begin(next))
    }
    return batch
  }

  async #runAlone(queue: JobQueue, attempt: Attempt): Promise<void> {
    queue.begin()
    const started = performance.now()
    try {
      this.#conclude(attempt, await execute(attempt))
    } catch (error) {
      this.#conclude(attempt, failedOrRetried(attempt, error))
    } finally {
      queue.end(performance.now() - started, 1)
      this.#afterRun(queue)
    }
  }

  async #runBatch(queue: JobQueue, batch: readonly Attempt[]): Promise<void> {
    queue.begin()
    const started = performance.now()
    this.#batches += 1
    try {
      const outcomes = await executeBatch(this.#environment, batch)
      for (const [attempt, outcome] of outcomes) this.#conclude(attempt, outcome)
    } catch (error) {
      for (const attempt of batch) this.#conclude(attempt, failedOrRetried(attempt, error))
    } finally {
      this.#batches -= 1
      queue.end(performance.now() - started, batch.length)
      this.#afterRun(queue)
    }
  }

  #afterRun(queue: JobQueue): void {
    for (const each of this.#queues) this.#dispatch(each)
    if (queue.waiting === 0) this.#wake.ring()
    this.#noteEnd()
  }

  #noteEnd(): void {
    this.#ended.resolve()
  }

  #conclude(attempt: Attempt, outcome: Outcome): void {
    attempt.end()
    if (outcome.kind === 'completed') {
      this.#completions.add(attempt, outcome.output)
      this.#attempts.forget(attempt)
      return
    }
    if (outcome.kind === 'committed' || outcome.kind === 'lost') {
      this.#attempts.forget(attempt)
      if (outcome.kind === 'lost') this.#reportLost(attempt)
      else if (attempt.job.keyed) this.#wake.ring()
      return
    }
    this.#write(attempt, outcome)
  }

  /** Writes how an attempt has ended; until that is done it is this process's. */
  #write(attempt: Attempt, outcome: Unfinished): void {
    this.#attempts.keep(attempt)
    const settling = this.#settle(attempt, outcome).finally(() => {
      this.#attempts.forget(attempt)
      this.#settling.delete(settling)
      this.#wake.ring()
      this.#noteEnd()
    })
    this.#settling.add(settling)
  }

  async #settle(attempt: Attempt, outcome: Unfinished): Promise<void> {
    const { logger } = this.#environment
    const { definition, job } = attempt
    const fields = { job: job.id, name: definition.name, attempt: job.attempt }
    try {
      if (!(await settle(attempt, outcome, this.#impatience.signal))) this.#reportLost(attempt)
      else if (outcome.kind === 'failed') {
        logger.error({ ...fields, err: outcome.error }, `${definition.name} has failed`)
      } else if (outcome.kind === 'retried') {
        const retryIn = Math.round(outcome.delay)
        const { error: err, notes = [] } = outcome
        logger.warn({ ...fields, err, retryIn }, `${definition.name} is tried again`)
        for (const note of notes) logger.error(fields, note)
      }
    } catch (error) {
      logger.error({ ...fields, err: error }, `how ${definition.name} ended could not be written`)
    }
  }

  #reportLost({ definition, job }: Attempt): void {
    this.#environment.logger.warn(
      { job: job.id, name: definition.name, token: job.token },
      `${definition.name} was taken over; nothing of the late attempt counts`,
    )
  }

  /** Whether the job is in this process, or may be: completions that are under way are not told apart. */
  #isKnown(id: string): boolean {
    return (
      this.#completions.unsettled > 0 ||
      this.#attempts.has(id) ||
      this.#queues.some((queue) => queue.claimed.includes(id))
    )
  }

  async #releaseWaiting(): Promise<void> {
    const jobs = this.#queues.flatMap((queue) => queue.takeAll())
    if (jobs.length === 0) return
    const { database, outbox } = this.#environment
    const sorted = jobs.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    await run(database, releaseJobs(outbox.schema), [
      sorted.map(({ id }) => id),
      sorted.map(({ token }) => token),
    ])
  }
}
