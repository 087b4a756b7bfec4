import { Database, type ConnectionOptions } from '../../database/pool.ts'
import type { JobEnvironment } from '../../job/attempted/environment.ts'
import type { ScheduleDefinition } from '../../job/defined/define-schedule.ts'
import { JobRunner, type JobRunnerOptions } from '../../job/running/job-runner.ts'
import { Scheduler } from '../../job/spawned/scheduler.ts'
import { wait } from '../../outbox/woken/wait.ts'
import { every, supervise } from './supervise.ts'

/** What the job work of a runner needs. */
export interface JobWorkEnvironment extends Omit<JobEnvironment, 'transactions'> {
  readonly connection: ConnectionOptions
  readonly schedules: readonly ScheduleDefinition[]
  /** Whether the process would hear the doorbell. */
  hears(): boolean
  /** Says that the process lives. */
  beat(): Promise<void>
}

const scheduleInterval = 500
// How long what is not a job waits for the first claim.
const longestFirst = 1_000
// For those that were made at run time only.
const runtimeInterval = 1_000

/** The jobs and schedules of one process: their loops, and the connections of jobs' transactions. */
export class JobWork {
  readonly #environment: JobWorkEnvironment
  readonly #runner: JobRunner
  readonly #scheduler: Scheduler
  // Of their own: they must not keep a heartbeat waiting.
  readonly #transactions: Database

  constructor(environment: JobWorkEnvironment, options: JobRunnerOptions) {
    const { connection, logger, schedules } = environment
    this.#environment = environment
    this.#transactions = new Database(connection, 'tidemark jobs', (error) =>
      logger.debug({ err: error }, 'an idle connection was lost'),
    )
    const { dataDir } = options
    const forJobs = {
      ...environment,
      transactions: this.#transactions,
      ...(dataDir === undefined ? {} : { dataDir }),
    }
    this.#runner = new JobRunner(forJobs, options, () => environment.hears())
    this.#scheduler = new Scheduler(environment, schedules)
  }

  /** How many wait for a connection for a job's transaction. */
  get waiting(): number {
    return this.#transactions.waiting
  }

  /** To be called when a notification has come. */
  ring(): void {
    this.#runner.ring()
  }

  /** Fails the attempt whose code has just thrown what nobody caught. */
  fail(error: unknown): { readonly job: string; readonly name: string } | undefined {
    return this.#runner.fail(error)
  }

  /** To be told now and then whether the database knows that spawners are to ring. */
  confirm(armed: boolean): void {
    this.#runner.confirm(armed)
  }

  /** To be called when connections were lost. */
  forget(): void {
    this.#runner.forget()
  }

  /** Runs jobs until the signal aborts, and drains them. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger, leaseDuration } = this.#environment
    const runner = this.#runner
    // Jobs first: each of these would open a connection of its own at the same moment, which keeps the first job waiting.
    const later = (loop: () => Promise<void>): Promise<void> =>
      Promise.race([runner.begun, wait(longestFirst, signal)]).then(loop)
    const loops = [
      supervise('the job runner', signal, logger, () => runner.work(signal)),
      supervise('looking after jobs', signal, logger, () => later(() => runner.tend(signal))),
    ]
    const { documents } = this.#environment
    if (documents !== undefined) {
      loops.push(supervise('the contexts of jobs', signal, logger, () => documents.mend(signal)))
    }
    loops.push(
      supervise('the scheduler', signal, logger, () => later(() => this.#schedule(signal))),
    )
    await Promise.all(loops)
    const drained = new AbortController()
    // Jobs may take longer to finish than a silent process is believed to live.
    const alive = every(leaseDuration / 4, drained.signal, () =>
      this.#environment.beat().catch(() => {}),
    )
    try {
      await runner.drain()
    } catch (error) {
      logger.warn({ err: error }, 'jobs could not be drained; others will take them over')
    }
    drained.abort()
    await alive
    await this.#transactions.close()
  }

  async #schedule(signal: AbortSignal): Promise<void> {
    await this.#scheduler.sync()
    const interval = this.#scheduler.size > 0 ? scheduleInterval : runtimeInterval
    await every(interval, signal, async () => {
      if ((await this.#scheduler.fire()) > 0) this.#runner.ring()
    })
  }
}
