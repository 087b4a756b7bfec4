import { randomUUID } from 'node:crypto'
import { requireMigrated } from '../../database/migrator.ts'
import { listenConfig, Database, type ConnectionOptions } from '../../database/pool.ts'
import { channelOf } from '../../database/schema.ts'
import type { EventRegistry } from '../../event/registry.ts'
import { declaredRetention, type DeclaredRetention } from '../../job/declared/retention.ts'
import type { ScheduleDefinition } from '../../job/defined/define-schedule.ts'
import { syncAliases, syncLimits } from '../../job/defined/sync-limits.ts'
import { DocumentSweep } from '../../job/documented/document-sweep.ts'
import type { Documents } from '../../job/documented/documents.ts'
import { OutputSweep } from '../../job/outputs/output-sweep.ts'
import type { Outputs } from '../../job/outputs/outputs.ts'
import { JobKeeper } from '../../job/running/job-keeper.ts'
import type { JobSpawner } from '../../job/spawned/job-spawner.ts'
import type { CursorSignals } from '../../listener/leased/cursor-signals.ts'
import type { HeldLease } from '../../listener/leased/lease.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { HorizonWatch } from '../../outbox/ordered/horizon-watch.ts'
import { requireInvariants } from '../../outbox/ordered/invariants.ts'
import type { Outbox } from '../../outbox/published/outbox.ts'
import { Tail } from '../../outbox/read/tail.ts'
import { Doorbell } from '../../outbox/woken/doorbell.ts'
import { Notifications } from '../../outbox/woken/notifications.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { InlineProjections } from '../../projection/folded/inline.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { noticeMetering } from '../../telemetry/meter.ts'
import { detached } from '../../telemetry/tracer.ts'
import { Maintenance } from '../upkeep/maintenance.ts'
import { observeRunner } from '../upkeep/observed-runner.ts'
import { Presence } from '../upkeep/presence.ts'
import { PublisherWatch } from '../upkeep/publisher-watch.ts'
import { VitalSigns, type Condition } from '../upkeep/vital-signs.ts'
import { JobWork } from './job-work.ts'
import { Partitions } from './partitions.ts'
import { poolShares } from './pool-shares.ts'
import { keptEvents, type RunnerOptions } from './runner-options.ts'
import { Session } from './session.ts'
import { stopOnSignals } from './signals.ts'
import { every, supervise } from './supervise.ts'
import { syncDefinitions } from './sync-definitions.ts'

/** What a runner is given by its application. */
export interface RunnerEnvironment {
  readonly connection: ConnectionOptions
  readonly outbox: Outbox
  readonly inline: InlineProjections
  readonly registry: EventRegistry
  readonly consumers: readonly Consumer[]
  readonly spawner: JobSpawner
  readonly outputs: Outputs
  /** What brings contexts of jobs into the application's store; undefined: it has none. */
  readonly documentsBy: (database: Database) => Documents | undefined
  readonly schedules: readonly ScheduleDefinition[]
  readonly logger: Logger
  readonly signals: CursorSignals
  /** How many wait for a connection of the application's own pool. */
  readonly waiting: () => number
  /** What is wrong with the system: for a metric. */
  readonly examine: () => Promise<readonly { readonly code: string; readonly status: string }[]>
}

const watchInterval = 1_000
const maintenanceDelay = 1_000

/**
 * Runs the listeners and projections of an application in this process, until it is stopped. Start it with
 * `tidemark.start()`.
 */
export class Runner implements AsyncDisposable {
  /** The identity of this process among those that run the application. */
  readonly id: string = randomUUID()
  readonly #environment: RunnerEnvironment & { readonly database: Database }
  readonly #documents: Documents | undefined
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
  readonly #presence: Presence
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
      config: listenConfig(
        poolShares(connection, options).doorbell,
        `tidemark doorbell ${this.id}`,
      ),
      channel: channelOf(outbox.schema),
      logger,
      database,
      pingInterval: doorbellOptions.pingInterval ?? 10_000,
      timeout: 5_000,
      onRing: () => {
        this.#doorbell.ring()
        this.#jobs?.ring()
      },
      // Whatever cut this connection may have been the server's end: believe nothing from before.
      onDeaf: () => {
        this.#restart?.()
        this.#jobs?.forget()
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
    this.#documents = environment.documentsBy(database)
    this.#maintenanceInterval = options.maintenanceInterval ?? 60_000
    const { schema } = outbox
    this.#maintenance = new Maintenance({
      database,
      schema,
      logger,
      silence: this.#leaseDuration * 6,
      partitionSize: options.partitionSize ?? 10_000_000,
      keepKeys: options.keepIdempotencyKeys,
      keepAudit: options.keepAudit ?? 90 * 86_400_000,
      keepEvents: options.keepEvents === undefined ? undefined : keptEvents(options.keepEvents),
      // Less than between the two rounds that are closest, so that none is missed.
      sampleInterval: this.#maintenanceInterval * 0.75,
      jobs: new JobKeeper(
        database,
        schema,
        environment.spawner.registry,
        retentionOf(options),
        options.jobs === false ? undefined : options.jobs?.dataDir,
      ),
      outputs: new OutputSweep(database, environment.outputs, this.#abort.signal),
      documents: new DocumentSweep(database, schema, this.#documents, this.#abort.signal),
    })
    const patience = options.publisherPatience ?? 10_000
    const tail = this.#tail
    this.#publisherWatch = new PublisherWatch({ database, schema, tail, logger, patience })
    this.#jobs = this.#prepareJobs(options)
    const { consumers, spawner, schedules } = environment
    this.#presence = new Presence({
      database,
      schema,
      process: this.id,
      consumers,
      vitals: new VitalSigns(this.#leaseDuration / 4, [
        () => this.#partitions.conditions(),
        () => this.#maintenance.conditions(),
        () => this.#conditions(doorbellOptions.enabled !== false),
      ]),
      jobs: this.#jobs && { registry: spawner.registry, schedules },
    })
    if (doorbellOptions.enabled !== false) this.#notifications.start()
    this.#removeSignals =
      options.handleSignals === false ? () => {} : stopOnSignals(() => this.stop())
  }

  /**
   * Checks the schema, writes down the definitions and starts the loops.
   *
   * @throws TidemarkError TIDEMARK_MIGRATION_REQUIRED, TIDEMARK_SCHEMA_TOO_NEW, TIDEMARK_INVARIANT_BROKEN or
   * TIDEMARK_MODE_CHANGED.
   */
  static async start(environment: RunnerEnvironment, options: RunnerOptions): Promise<Runner> {
    const { connection, outbox, logger } = environment
    const shares = poolShares(connection, options)
    // A pool of its own, or its part of the given one: an application that uses up its connections must not stop its
    // listeners.
    let restart = (): void => {}
    const database = new Database(
      { ...shares.listeners, queryTimeout: queryTimeoutOf(environment.consumers) },
      'tidemark worker',
      (error) => {
        logger.debug({ err: error }, 'an idle connection was lost')
        // Without a LISTEN connection this is the only sign that the server may have gone and come back.
        if (options.doorbell?.enabled === false) restart()
      },
    )
    try {
      await requireMigrated(database, outbox.schema)
      await requireInvariants(database, outbox.schema)
      const silence = options.leaseDuration ?? 10_000
      const waiting = await syncDefinitions({ ...environment, database, silence })
      if (options.jobs !== false) {
        await syncAliases(database, outbox.schema, environment.spawner.registry)
        await syncLimits(database, outbox.schema, environment.spawner.registry)
      }
      const runner = detached(() => new Runner({ ...environment, database }, options))
      runner.#waiting = waiting
      await runner.#presence.show()
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
      examine: this.#environment.examine,
    })
    this.#loops = Promise.all([
      this.#supervise('the outbox reader', () => this.#work()),
      this.#supervise('the heartbeat', () => this.#beat()),
      this.#supervise('maintenance', () => this.#maintain()),
      this.#supervise('the watch on publishers', () => this.#watch()),
      this.#jobs?.run(this.#abort.signal),
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

  /**
   * Says that an error was thrown where nothing could catch it: it is logged, and the attempt of the job whose code it
   * comes from fails with TIDEMARK_JOB_UNCAUGHT. Nothing else is touched. Call it in the handler itself, which knows
   * whose code it was, and stop the process: after such an error nobody knows what state it is in. `tidemark worker`
   * does both.
   *
   * @example
   * ```ts
   * import type { Runner } from 'tidemark'
   *
   * declare const runner: Runner
   *
   * process.on('uncaughtException', (error) => {
   *   runner.uncaught(error)
   *   void runner.stop().finally(() => process.exit(1))
   * })
   * ```
   */
  uncaught(error: unknown): void {
    const fields = { err: error, ...this.#jobs?.fail(error) }
    this.#environment.logger.error(fields, 'an error was thrown where nothing could catch it')
  }

  async #stop(): Promise<void> {
    this.#removeSignals()
    this.#abort.abort()
    this.#stopObserving()
    await this.#loops
    await this.#notifications.close()
    // Each for itself: the connection that one of them loses is not the next one's. A lease whose return was lost so would
    // keep its partition from everybody else.
    await this.#signOff(() => this.#doorbell.remove())
    await this.#signOff(() => this.#partitions.releaseAll())
    await this.#signOff(() => this.#presence.end())
    await this.#environment.database.close()
  }

  async #signOff(part: () => Promise<void>): Promise<void> {
    try {
      await part()
    } catch (error) {
      const message = 'the process could not sign off; others will notice its silence'
      this.#environment.logger.warn({ err: error }, message)
    }
  }

  #prepareJobs(options: RunnerOptions): JobWork | undefined {
    if (options.jobs === false || this.#environment.spawner.registry.size === 0) return undefined
    const documents = this.#documents
    const environment = {
      ...this.#environment,
      ...(documents === undefined ? {} : { documents }),
      process: this.id,
      leaseDuration: this.#leaseDuration,
      hears: () => this.#notifications.hears,
      beat: async () => void (await this.#presence.beat(null)),
    }
    const { drainTimeout } = options
    const connection = poolShares(environment.connection, options).jobs
    const { maxConnections: connections } = connection
    return new JobWork(
      { ...environment, connection },
      {
        ...(drainTimeout === undefined ? {} : { drainTimeout }),
        ...options.jobs,
        ...(connections === undefined ? {} : { connections }),
      },
    )
  }

  #conditions(listens: boolean): Condition[] {
    const { database, outputs, waiting } = this.#environment
    const pools = {
      application: waiting(),
      listeners: database.waiting,
      jobs: this.#jobs?.waiting ?? 0,
    }
    return [
      ...(listens && !this.#notifications.hears
        ? [{ code: 'deaf' as const, name: 'doorbell', why: 'no notification comes back' }]
        : []),
      ...(outputs.refusal === null
        ? []
        : [{ code: 'outputs' as const, name: outputs.store?.name ?? '', why: outputs.refusal }]),
      ...Object.entries(pools)
        .filter(([, count]) => count > 0)
        .map(([name, count]) => ({
          code: 'pool' as const,
          name,
          why: `${count} waiting for a connection`,
        })),
    ]
  }

  #supervise(what: string, loop: () => Promise<void>): Promise<void> {
    return supervise(what, this.#abort.signal, this.#environment.logger, loop)
  }

  /** Works in sessions: one ends when connections were lost, and is followed by another. */
  async #work(): Promise<void> {
    const session = new Session({
      tail: this.#tail,
      doorbell: this.#doorbell,
      partitions: this.#partitions,
      horizonWatch: this.#horizonWatch,
      signals: this.#environment.signals,
      acquireInterval: this.#acquireInterval,
      beforeBalance: () => this.#syncWaiting(),
    })
    this.#restart = () => session.end()
    try {
      await session.run(this.#abort.signal)
    } finally {
      this.#restart = undefined
    }
  }

  async #syncWaiting(): Promise<void> {
    if (this.#waiting.length === 0) return
    const { logger } = this.#environment
    const environment = { ...this.#environment, silence: this.#leaseDuration }
    try {
      this.#waiting = await syncDefinitions({ ...environment, consumers: this.#waiting })
    } catch (error) {
      logger.warn(
        { err: error },
        'what a raised version asks for could not be done; it is tried again',
      )
    }
  }

  async #beat(): Promise<void> {
    // It has just said that it is there.
    await wait(this.#leaseDuration / 4, this.#abort.signal)
    await every(this.#leaseDuration / 4, this.#abort.signal, async () => {
      await this.#partitions.keep(() => this.#sayAlive())
      noticeMetering()
    })
  }

  /** Answers the leases that the process still has. */
  async #sayAlive(): Promise<readonly HeldLease[]> {
    const { held, armed, jobsArmed } = await this.#presence.beat(this.#leaseDuration)
    // Suspended for long, a process may have been taken for dead, and its doorbells for a dead one's.
    this.#doorbell.confirm(armed)
    this.#jobs?.confirm(jobsArmed)
    return held
  }

  async #maintain(): Promise<void> {
    // Not at once: whoever runs for a moment, as tests do, has other things to do.
    await wait(Math.min(this.#maintenanceInterval, maintenanceDelay), this.#abort.signal)
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
