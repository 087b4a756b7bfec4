import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { run } from '../database/executor.ts'
import { requireMigrated } from '../database/migrator.ts'
import { listenConfig, Database, type ConnectionOptions } from '../database/pool.ts'
import { channelOf } from '../database/schema.ts'
import { registerProcess, removeProcess } from '../database/sql/processes.ts'
import type { EventRegistry } from '../event/registry.ts'
import type { ScheduleDefinition } from '../job/define-schedule.ts'
import { JobKeeper } from '../job/job-keeper.ts'
import { JobRunner, type JobRunnerOptions } from '../job/job-runner.ts'
import type { JobSpawner } from '../job/job-spawner.ts'
import { declaredRetention, type DeclaredRetention } from '../job/retention.ts'
import { Scheduler } from '../job/scheduler.ts'
import { syncLimits } from '../job/sync-limits.ts'
import type { Consumer } from '../listener/consumer.ts'
import type { CursorSignals } from '../listener/cursor-signals.ts'
import { Doorbell, type DoorbellOptions } from '../outbox/doorbell.ts'
import { HorizonWatch } from '../outbox/horizon-watch.ts'
import { Notifications } from '../outbox/notifications.ts'
import type { Outbox } from '../outbox/outbox.ts'
import { Tail } from '../outbox/tail.ts'
import type { InlineProjections } from '../projection/inline.ts'
import type { Logger } from '../telemetry/logger.ts'
import { noticeMetering } from '../telemetry/meter.ts'
import { detached } from '../telemetry/tracer.ts'
import { Maintenance } from './maintenance.ts'
import { observeRunner } from './observed-runner.ts'
import { Partitions } from './partitions.ts'
import { PublisherWatch } from './publisher-watch.ts'
import { stopOnSignals } from './signals.ts'
import { every, supervise } from './supervise.ts'
import { syncDefinitions } from './sync-definitions.ts'

/** How a runner works. All times in milliseconds. */
export interface RunnerOptions {
  /** The most connections of the runner, which has a pool of its own. Defaults to 10. */
  readonly maxConnections?: number
  /**
   * How long a lease lasts without being renewed: after a hard kill another process takes over that much later.
   * Defaults to 10000.
   */
  readonly leaseDuration?: number
  /** How often a process looks for partitions that nobody runs. Defaults to 1000. */
  readonly acquireInterval?: number
  /** How long a stop waits for batches under way before it gives them up. Defaults to 30000. */
  readonly drainTimeout?: number
  /** Whether SIGTERM and SIGINT drain the runner. Defaults to true. */
  readonly handleSignals?: boolean
  readonly doorbell?: DoorbellOptions
  /**
   * The most bytes of events that the process keeps for its listeners. One that is behind them reads pages of its own,
   * of about 4 MiB. Defaults to 32 MiB.
   */
  readonly keptBytes?: number
  /**
   * How long a transaction may hold the horizon back by publishing, before it is named in the log: then, and with
   * growing pauses as long as it goes on. Defaults to 10000.
   */
  readonly publisherPatience?: number
  /**
   * How often a process looks after what is everybody's: partitions ahead of need, the skip detector, what dead
   * processes left. Defaults to 60000.
   */
  readonly maintenanceInterval?: number
  /** How many sequences a new partition of the outbox holds. Defaults to 10000000. */
  readonly partitionSize?: number
  /** How long idempotency keys are kept. Defaults to for ever. */
  readonly keepIdempotencyKeys?: number
  /** How jobs run here; false: not at all. Defaults to 10 side by side in each queue. */
  readonly jobs?: JobRunnerOptions | false
}

/** What a runner is given by its application. */
export interface RunnerEnvironment {
  readonly connection: ConnectionOptions
  readonly outbox: Outbox
  readonly inline: InlineProjections
  readonly registry: EventRegistry
  readonly consumers: readonly Consumer[]
  readonly spawner: JobSpawner
  readonly schedules: readonly ScheduleDefinition[]
  readonly logger: Logger
  readonly signals: CursorSignals
}

const watchInterval = 1_000
interface JobWork {
  readonly runner: JobRunner
  /** The connections of jobs' transactions: they must not keep a heartbeat waiting. */
  readonly transactions: Database
  readonly scheduler: Scheduler
}

const scheduleInterval = 500
const flushInterval = 200

/**
 * Runs the listeners and projections of an application in this process, until it is stopped. Start it with
 * `tidemark.start()`.
 */
export class Runner implements AsyncDisposable {
  /** The identity of this process among those that run the application. */
  readonly id: string = randomUUID()
  readonly #environment: RunnerEnvironment & { readonly database: Database }
  readonly #leaseDuration: number
  readonly #acquireInterval: number
  readonly #doorbell: Doorbell
  readonly #notifications: Notifications
  readonly #tail: Tail
  readonly #partitions: Partitions
  readonly #maintenance: Maintenance
  readonly #maintenanceInterval: number
  readonly #publisherWatch: PublisherWatch
  readonly #jobs: JobWork | undefined
  readonly #abort = new AbortController()
  readonly #removeSignals: () => void
  readonly #horizonWatch: HorizonWatch = new HorizonWatch()
  #stopObserving: () => void = () => {}
  #restart: (() => void) | undefined
  /** Projections that become inline when no older process runs any more. */
  #waiting: readonly Consumer[] = []
  #loops: Promise<unknown> = Promise.resolve()
  #stopped: Promise<void> | undefined

  private constructor(
    environment: RunnerEnvironment & { readonly database: Database },
    options: RunnerOptions,
  ) {
    const { database, outbox, logger, connection } = environment
    const doorbellOptions = options.doorbell ?? {}
    this.#environment = environment
    this.#leaseDuration = options.leaseDuration ?? 10_000
    this.#acquireInterval = options.acquireInterval ?? 1_000
    this.#doorbell = new Doorbell(database, outbox.schema, this.id, doorbellOptions)
    this.#notifications = new Notifications({
      config: listenConfig(connection, `tidemark doorbell ${this.id}`),
      channel: channelOf(outbox.schema),
      logger,
      pingInterval: doorbellOptions.pingInterval ?? 10_000,
      timeout: 5_000,
      onRing: () => {
        this.#doorbell.ring()
        this.#jobs?.runner.ring()
      },
      // Whatever cut this connection may have been the server's end: believe nothing from before.
      onDeaf: () => {
        this.#restart?.()
        this.#jobs?.runner.forget()
      },
    })
    this.#tail = new Tail(
      database,
      outbox.schema,
      this.#doorbell,
      () => this.#notifications.hears,
      doorbellOptions,
      options.keptBytes,
      (horizon) => this.#horizonWatch.saw(horizon),
    )
    this.#partitions = new Partitions({
      ...environment,
      process: this.id,
      tail: this.#tail,
      leaseDuration: this.#leaseDuration,
      drainTimeout: options.drainTimeout ?? 30_000,
    })
    this.#maintenanceInterval = options.maintenanceInterval ?? 60_000
    const { schema } = outbox
    this.#maintenance = new Maintenance({
      database,
      schema,
      logger,
      silence: this.#leaseDuration * 6,
      partitionSize: options.partitionSize ?? 10_000_000,
      keepKeys: options.keepIdempotencyKeys,
      // Somewhat less, so that a round is not missed by a few milliseconds.
      sampleInterval: this.#maintenanceInterval * 0.9,
      jobs: new JobKeeper(database, schema, environment.spawner.registry, retentionOf(options)),
    })
    const patience = options.publisherPatience ?? 10_000
    const tail = this.#tail
    this.#publisherWatch = new PublisherWatch({ database, schema, tail, logger, patience })
    this.#jobs = this.#prepareJobs(options)
    if (doorbellOptions.enabled !== false) this.#notifications.start()
    this.#removeSignals =
      options.handleSignals === false ? () => {} : stopOnSignals(() => this.stop())
  }

  /**
   * Checks the schema, writes down the definitions and starts the loops.
   *
   * @throws TidemarkError TIDEMARK_MIGRATION_REQUIRED, TIDEMARK_SCHEMA_TOO_NEW or TIDEMARK_MODE_CHANGED.
   */
  static async start(environment: RunnerEnvironment, options: RunnerOptions): Promise<Runner> {
    const { connection, outbox, logger } = environment
    const { maxConnections = 10 } = options
    // A pool of its own: an application that uses up its connections must not stop its listeners.
    let restart = (): void => {}
    const database = new Database(
      { ...connection, maxConnections, queryTimeout: queryTimeoutOf(environment.consumers) },
      'tidemark worker',
      (error) => {
        logger.debug({ err: error }, 'an idle connection was lost')
        // Without a LISTEN connection this is the only sign that the server may have gone and come back.
        if (options.doorbell?.enabled === false) restart()
      },
    )
    try {
      await requireMigrated(database, outbox.schema)
      const silence = options.leaseDuration ?? 10_000
      const waiting = await syncDefinitions({ ...environment, database, silence })
      if (options.jobs !== false) {
        await syncLimits(database, outbox.schema, environment.spawner.registry)
      }
      const runner = detached(() => new Runner({ ...environment, database }, options))
      runner.#waiting = waiting
      await runner.#register()
      restart = () => runner.#restart?.()
      return detached(() => runner.#run())
    } catch (error) {
      await database.close()
      throw error
    }
  }

  #run(): this {
    const { database, outbox, consumers } = this.#environment
    this.#stopObserving = observeRunner({
      database,
      schema: outbox.schema,
      consumers,
      horizon: this.#horizonWatch,
      doorbell: this.#doorbell,
      jobs: this.#jobs !== undefined,
      hears: () => this.#notifications.hears,
    })
    this.#loops = Promise.all([
      this.#supervise('the outbox reader', () => this.#work()),
      this.#supervise('the heartbeat', () => this.#beat()),
      this.#supervise('maintenance', () => this.#maintain()),
      this.#supervise('the watch on publishers', () => this.#watch()),
      this.#runJobs(),
    ])
    return this
  }

  /** The partitions that this process runs now, as `listener#partition`. */
  get partitions(): readonly string[] {
    return this.#partitions.names
  }

  /**
   * Finishes the batches under way, gives the leases back and stops. What takes longer than `drainTimeout` is
   * rolled back. Calling it again waits for the same stop.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(): Promise<void> {
    this.#removeSignals()
    this.#abort.abort()
    this.#stopObserving()
    await this.#loops
    await this.#notifications.close()
    const { database, outbox, logger } = this.#environment
    try {
      await this.#doorbell.remove()
      await run(database, removeProcess(outbox.schema), [this.id])
    } catch (error) {
      logger.warn({ err: error }, 'the process could not sign off; others will notice its silence')
    } finally {
      await database.close()
    }
  }

  #prepareJobs(options: RunnerOptions): JobWork | undefined {
    const { spawner, logger, connection } = this.#environment
    if (options.jobs === false || spawner.registry.size === 0) return undefined
    const { connections = 10 } = options.jobs ?? {}
    const transactions = new Database(
      { ...connection, maxConnections: connections },
      'tidemark jobs',
      (error) => logger.debug({ err: error }, 'an idle connection was lost'),
    )
    const environment = {
      ...this.#environment,
      transactions,
      process: this.id,
      leaseDuration: this.#leaseDuration,
    }
    const jobOptions = {
      ...(options.drainTimeout === undefined ? {} : { drainTimeout: options.drainTimeout }),
      ...options.jobs,
    }
    const runner = new JobRunner(environment, jobOptions, () => this.#notifications.hears)
    const scheduler = new Scheduler(environment, this.#environment.schedules)
    return { runner, transactions, scheduler }
  }

  async #schedule(scheduler: Scheduler, runner: JobRunner): Promise<void> {
    await scheduler.sync()
    await every(scheduleInterval, this.#abort.signal, async () => {
      if ((await scheduler.fire()) > 0) runner.ring()
    })
  }

  /** Runs jobs until the runner stops, and drains them. */
  async #runJobs(): Promise<void> {
    if (this.#jobs === undefined) return
    const { runner, transactions, scheduler } = this.#jobs
    const { logger } = this.#environment
    await Promise.all([
      this.#supervise('the job runner', () => runner.work(this.#abort.signal)),
      this.#supervise('looking after jobs', () => runner.tend(this.#abort.signal)),
      scheduler.size === 0
        ? undefined
        : this.#supervise('the scheduler', () => this.#schedule(scheduler, runner)),
    ])
    const drained = new AbortController()
    // Jobs may take longer to finish than a silent process is believed to live.
    const alive = every(this.#leaseDuration / 4, drained.signal, () =>
      this.#register().catch(() => {}),
    )
    try {
      await runner.drain()
    } catch (error) {
      logger.warn({ err: error }, 'jobs could not be drained; others will take them over')
    }
    drained.abort()
    await alive
    await transactions.close()
  }

  #supervise(what: string, loop: () => Promise<void>): Promise<void> {
    return supervise(what, this.#abort.signal, this.#environment.logger, loop)
  }

  /**
   * One session: from a fresh look at the outbox to the first sign that connections were lost. After that nothing
   * in memory is believed: leases are taken anew, with the cursors that the database has.
   */
  async #work(): Promise<void> {
    const session = new AbortController()
    this.#restart = () => session.abort()
    const signal = AbortSignal.any([session.signal, this.#abort.signal])
    await this.#partitions.releaseAll()
    const loops = await Promise.allSettled([
      this.#acquire(signal, session),
      this.#flush(signal, session),
    ])
    this.#restart = undefined
    await this.#partitions.stop(this.#abort.signal.aborted)
    for (const loop of loops) if (loop.status === 'rejected') throw loop.reason
  }

  /** Takes partitions that nobody runs, and follows the outbox while it has some. */
  async #acquire(signal: AbortSignal, session: AbortController): Promise<void> {
    const follower = new Follower(this.#tail, this.#doorbell, session)
    try {
      await every(this.#acquireInterval, signal, async () => {
        if (this.#partitions.size === 0) {
          await follower.pause()
          this.#horizonWatch.forget()
        }
        if (this.#waiting.length > 0) await this.#syncWaiting()
        await this.#partitions.balance(() => follower.follow(signal))
        follower.throwIfFailed()
      })
    } finally {
      session.abort()
      await follower.pause()
    }
    follower.throwIfFailed()
  }

  async #syncWaiting(): Promise<void> {
    const { logger } = this.#environment
    const environment = { ...this.#environment, silence: this.#leaseDuration }
    try {
      this.#waiting = await syncDefinitions({ ...environment, consumers: this.#waiting })
    } catch (error) {
      logger.warn({ err: error }, 'a projection could not become inline; it is tried again')
    }
  }

  async #flush(signal: AbortSignal, session: AbortController): Promise<void> {
    try {
      const { signals } = this.#environment
      for (let next = 0; !signal.aborted;) {
        const due = performance.now() >= next
        if (due) next = performance.now() + flushInterval
        const demand = signals.takeDemand()
        await this.#partitions.flush(due ? undefined : demand)
        await signals.demanded(next - performance.now(), signal)
      }
    } finally {
      session.abort()
    }
  }

  async #beat(): Promise<void> {
    await every(this.#leaseDuration / 4, this.#abort.signal, async () => {
      await this.#register()
      await this.#partitions.renew()
      noticeMetering()
    })
  }

  async #register(): Promise<void> {
    const { database, outbox, consumers } = this.#environment
    const listeners = consumers.map(({ name, kind, version, types }) => {
      return { name, kind, version, types: [...types] }
    })
    const jobs = this.#jobs === undefined ? [] : this.#environment.spawner.registry.publish()
    const definitions = [...listeners, ...jobs]
    await run(database, registerProcess(outbox.schema), [
      this.id,
      hostname(),
      process.pid,
      'tidemark',
      JSON.stringify(definitions),
    ])
  }

  async #maintain(): Promise<void> {
    await every(this.#maintenanceInterval, this.#abort.signal, () => this.#maintenance.run())
  }

  async #watch(): Promise<void> {
    await every(watchInterval, this.#abort.signal, () => this.#publisherWatch.look())
  }
}

/** What the history of jobs is kept by whose definition says nothing. */
function retentionOf({ jobs }: RunnerOptions): DeclaredRetention | undefined {
  if (jobs === undefined || jobs === false || jobs.retention === undefined) return undefined
  return declaredRetention('start: jobs', jobs.retention)
}

/**
 * How long a statement of the runner may take. A connection whose other end has vanished without a word answers
 * nothing, ever; no statement of a handler may take longer than the handler.
 */
function queryTimeoutOf(consumers: readonly Consumer[]): number {
  return 2 * Math.max(30_000, ...consumers.map((consumer) => consumer.handlerTimeout))
}

/** Follows the outbox only while this process runs something: a standby must not make publishers ring. */
class Follower {
  readonly #tail: Tail
  readonly #doorbell: Doorbell
  readonly #session: AbortController
  #abort: AbortController | undefined
  #following: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(tail: Tail, doorbell: Doorbell, session: AbortController) {
    this.#tail = tail
    this.#doorbell = doorbell
    this.#session = session
  }

  async follow(signal: AbortSignal): Promise<void> {
    if (this.#abort !== undefined) return
    this.#doorbell.forget()
    await this.#tail.open()
    this.#abort = new AbortController()
    this.#following = this.#tail
      .follow(AbortSignal.any([signal, this.#abort.signal]))
      .catch((error: unknown) => {
        this.#failure = { error }
        this.#session.abort()
      })
  }

  async pause(): Promise<void> {
    if (this.#abort === undefined) return
    this.#abort.abort()
    await this.#following
    this.#abort = undefined
    await this.#doorbell.disarm().catch(() => {})
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}
