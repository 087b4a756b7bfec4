import { closed } from '../../database/given/given-pool.ts'
import { Database } from '../../database/pool.ts'
import { defaultSchema, requireSchemaName } from '../../database/schema.ts'
import { discreet } from '../../database/secrets.ts'
import { isolationLevels } from '../../database/transaction/transaction.ts'
import { requireOneOf, requireSequence, requireSignal } from '../../errors/checked-values.ts'
import {
  rejectUnknownOptions,
  requireBoolean,
  requireFunction,
  requireOptions,
  requireTexts,
  requireWhole,
} from '../../errors/options.ts'
import type { EventDraft } from '../../event/define-event.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { JobValues } from '../../job/coded/job-values.ts'
import { Documents } from '../../job/documented/documents.ts'
import { Outputs } from '../../job/outputs/outputs.ts'
import { JobSpawner } from '../../job/spawned/job-spawner.ts'
import { JobAdmin } from '../../job/steered/job-admin.ts'
import type { Db } from '../../listener/declared/register.ts'
import { CursorSignals } from '../../listener/leased/cursor-signals.ts'
import { ListenerAdmin } from '../../listener/steered/admin.ts'
import { DeadLetterAdmin } from '../../listener/steered/dead-letter-admin.ts'
import { ProcessAdmin } from '../../listener/steered/process-admin.ts'
import { checkWaitOptions, type WaitOptions } from '../../listener/steered/wait-for.ts'
import type { Entity } from '../../outbox/entity/define-entity.ts'
import { loadEntity, type LoadedEntity } from '../../outbox/entity/load-entity.ts'
import { OutboxAdmin } from '../../outbox/kept/admin.ts'
import type { GoBackOptions } from '../../outbox/kept/pruned.ts'
import { Coalescer } from '../../outbox/published/coalescer.ts'
import { Outbox } from '../../outbox/published/outbox.ts'
import type {
  Drafts,
  PublishedEvent,
  PublishNowOptions,
} from '../../outbox/published/outgoing-event.ts'
import { outboxEvents, streamEvents, type ReadOptions } from '../../outbox/read/read-events.ts'
import {
  readStoredTypes,
  type StoredTypes,
  type StoredTypesOptions,
} from '../../outbox/read/stored-types.ts'
import { InlineProjections, type InlineProjection } from '../../projection/folded/inline.ts'
import type { KeyedProjection } from '../../projection/folded/keyed-projection.ts'
import { ProjectionAdmin } from '../../projection/folded/projection-admin.ts'
import { listKeys, type KeyedState, type KeyPage } from '../../projection/folded/read.ts'
import type { StateProjection } from '../../projection/folded/state-projection.ts'
import { RebuildAdmin } from '../../projection/rebuilt/rebuild-admin.ts'
import { RelayAdmin } from '../../relay/admin.ts'
import { stderrLogger, type Logger } from '../../telemetry/logger.ts'
import { safeLogger } from '../../telemetry/safe-logger.ts'
import { Doctor } from '../doctor/doctor.ts'
import { Observer, type ObserverOptions } from '../doctor/observer.ts'
import { Audit } from '../recorded/audit.ts'
import { History } from '../recorded/history.ts'
import { checkRunnerOptions } from '../runner/runner-options.ts'
import type { RunnerOptions } from '../runner/runner-options.ts'
import { Runner } from '../runner/runner.ts'
import { checkAppOptions, type AppOptions } from './app-options.ts'
import { collectDefinitions, type Definitions } from './modules.ts'
import { Projections } from './projections.ts'
import { Publishing } from './publishing.ts'
import { repair, type Repair } from './repair.ts'
import type {
  Committed,
  DecideOptions,
  ListenerReference,
  Transaction,
  TransactionOptions,
} from './transaction.ts'
import { Waiting } from './waiting.ts'

/** An application: its definitions, its outbox and its connections. Made by {@link defineApp}. */
export class App implements AsyncDisposable {
  /** Looking at listeners and projections, and steering them. */
  readonly listeners: ListenerAdmin
  /** Looking at dead letters, and deciding what becomes of them. */
  readonly deadLetters: DeadLetterAdmin
  /** Spawning jobs, looking at them and steering them. */
  readonly jobs: JobAdmin
  /** Rebuilds under way: their progress, pausing and cancelling them. */
  readonly rebuilds: RebuildAdmin
  /** Looking at the outbox as a whole, and keeping it small. */
  readonly outbox: OutboxAdmin
  /** Looking at what projections have stored, whether or not this application defines them. */
  readonly projections: ProjectionAdmin
  /** Looking at the processes that run listeners and jobs. */
  readonly processes: ProcessAdmin
  /** Looking for what is wrong, with a remedy for each. */
  readonly doctor: Doctor
  /** Who changed what from outside: through HTTP, the console and the command line. */
  readonly audit: Audit
  /** How things stood in the last hours. */
  readonly history: History
  /** Comparing what relays have sent with the outbox. */
  readonly relays: RelayAdmin
  /** The schema of Tidemark's tables. */
  readonly schema: string
  /** What it was defined with: tools make another from it, for instance for another database. */
  readonly options: AppOptions
  readonly #definitions: Definitions
  readonly #logger: Logger
  readonly #database: Database
  readonly #inline: InlineProjections
  readonly #outbox: Outbox
  readonly #coalescer: Coalescer
  readonly #publishing: Publishing
  readonly #spawner: JobSpawner
  readonly #outputs: Outputs
  readonly #projections: Projections
  readonly #waiting: Waiting
  readonly #signals = new CursorSignals()
  readonly #runners = new Set<Runner>()
  #closed: Promise<void> | undefined

  constructor(options: AppOptions) {
    this.options = discreet(options)
    this.schema = requireSchemaName(options.schema ?? defaultSchema)
    this.#definitions = collectDefinitions(options.modules)
    this.#logger = safeLogger(options.logger ?? stderrLogger)
    // Nothing connects before it is needed: defining an application costs nothing.
    this.#database = new Database(options, 'tidemark', (error) =>
      this.#logger.debug({ err: error }, 'an idle connection was lost'),
    )
    const inline = [...this.#definitions.consumers.values()].filter(
      (consumer) => consumer.mode === 'inline',
    )
    this.#inline = new InlineProjections(
      this.schema,
      this.#definitions.registry,
      inline as unknown as InlineProjection[],
      this.#logger,
      options.db,
    )
    this.#outbox = new Outbox(this.schema, this.#inline)
    this.#coalescer = new Coalescer(this.#database, this.#outbox, options.publishQueue)
    this.outbox = new OutboxAdmin(this.#database, this.schema, this.#definitions.registry)
    this.listeners = new ListenerAdmin(this.#database, this.schema)
    this.deadLetters = new DeadLetterAdmin(this.#database, this.schema)
    this.#spawner = new JobSpawner(this.schema, this.#definitions.jobs)
    this.#publishing = new Publishing({
      database: this.#database,
      outbox: this.#outbox,
      coalescer: this.#coalescer,
      spawner: this.#spawner,
      registry: this.#definitions.registry,
      logger: this.#logger,
    })
    this.#outputs = new Outputs(this.schema, options.outputs, new JobValues(options.jobs))
    this.jobs = new JobAdmin(
      this.#database,
      this.#outputs,
      this.#spawner,
      this.#logger,
      this.#definitions.schedules,
      options.locks?.store,
      this.#documents(this.#database),
    )
    const { consumers } = this.#definitions
    const found = { database: this.#database, schema: this.schema, consumers }
    this.#projections = new Projections({
      ...found,
      inline: this.#inline,
      listeners: this.listeners,
    })
    this.#waiting = new Waiting({ ...found, signals: this.#signals })
    this.rebuilds = new RebuildAdmin(this.#database, this.schema)
    this.projections = new ProjectionAdmin(this.#database, this.schema)
    this.processes = new ProcessAdmin(this.#database, this.schema)
    this.audit = new Audit(this.#database, this.schema)
    this.history = new History(this.#database, this.schema)
    this.doctor = new Doctor({
      schema: this.schema,
      database: this.#database,
      registry: this.#definitions.registry,
      consumers: [...this.#definitions.consumers.values()],
      listeners: this.listeners,
      deadLetters: this.deadLetters,
      outbox: this.outbox,
      rebuilds: this.rebuilds,
      processes: this.processes,
    })
    this.relays = new RelayAdmin(
      this.#database,
      this.schema,
      this.#definitions.registry,
      consumers.values(),
    )
  }

  /** The application's `db` (Kysely, unless it has another) on its pool, for reading: each query on a connection of its own. */
  get db(): Db {
    return this.#database.db() as Db
  }

  /**
   * Runs `work` in a transaction and commits it with the events that it published.
   *
   * @returns what `work` returned, the events, and the sequence to wait for.
   * @throws TidemarkError TIDEMARK_STREAM_CONFLICT or TIDEMARK_DUPLICATE_EVENT, and whatever `work` throws; then
   * nothing is kept. With `waitFor` also TIDEMARK_WAIT_TIMEOUT, TIDEMARK_LISTENER_HALTED or
   * TIDEMARK_UNKNOWN_LISTENER, with `committed: true` in their details: the transaction is kept.
   *
   * @example
   * ```ts
   * import { defineApp, defineEvent, defineProjection } from 'tidemark'
   * import { z } from 'zod'
   *
   * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
   * const count = defineProjection('count', { version: 1, initial: () => 0 }).on(opened, (n) => n + 1)
   * const tidemark = defineApp({ modules: [{ opened, count }] })
   *
   * await tidemark.transaction(async (tx) => tx.publish(opened({ id: 'a-1' })), { waitFor: count, timeout: '2s' })
   * console.log(await tidemark.read(count))
   * ```
   */
  async transaction<T>(
    work: (tx: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<Committed<T>> {
    const { isolation, waitFor = [], ...wait } = requireOptions('transaction', options)
    if (isolation !== undefined) {
      requireOneOf('transaction', 'isolation', isolation, isolationLevels)
    }
    checkWaitOptions('transaction', wait, ['isolation', 'waitFor'])
    this.#requireOpen()
    requireFunction('transaction', 'work', work)
    const [result, published] = await this.#publishing.transaction(work, isolation)
    const caughtUp = await this.#waiting.afterCommit(waitFor, published.sequence, wait)
    return { result, ...published, caughtUp }
  }

  /**
   * Publishes an event, or several that belong together. Without `tx` it shares one INSERT and one commit with
   * whatever else the process publishes at that moment, and returns when it is durable. With `tx` it inserts at once
   * into that transaction, which somebody else commits.
   *
   * @throws TidemarkError TIDEMARK_STREAM_CONFLICT, TIDEMARK_DUPLICATE_EVENT, TIDEMARK_INVALID_OPTION,
   * TIDEMARK_PAYLOAD_NOT_STORABLE, TIDEMARK_INVALID_EXECUTOR, TIDEMARK_PUBLISH_UNKNOWN or
   * TIDEMARK_PUBLISH_QUEUE_FULL. None of them leaves the transaction of `tx` aborted.
   *
   * @example
   * ```ts
   * import { defineApp, defineEvent } from 'tidemark'
   * import { z } from 'zod'
   *
   * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
   * const tidemark = defineApp({ modules: [opened] })
   *
   * const { sequence } = await tidemark.publish(opened({ id: 'a-1' }), { stream: 'account-a-1', expectedVersion: 'none' })
   * await tidemark.waitFor('dashboard', sequence)
   * ```
   */
  publish(draft: EventDraft, options?: PublishNowOptions): Promise<PublishedEvent>
  publish(drafts: readonly EventDraft[], options?: PublishNowOptions): Promise<PublishedEvent[]>
  async publish(
    drafts: Drafts,
    options?: PublishNowOptions,
  ): Promise<PublishedEvent | PublishedEvent[]> {
    this.#requireOpen()
    const published = await this.#publishing.publish(drafts, options)
    return Array.isArray(drafts) ? published : (published[0] as PublishedEvent)
  }

  /**
   * The present state of an entity, and the version of its stream.
   *
   * @throws TidemarkError TIDEMARK_EVENT_UNREADABLE.
   */
  async load<State>(entity: Entity<State>, id: string): Promise<LoadedEntity<State>> {
    return loadEntity(this.#database, this.schema, entity, id)
  }

  /**
   * Decides a command on an entity's present state and appends what it answers to the entity's stream. When somebody
   * else appended meanwhile, the entity is loaded again and the command decided again.
   *
   * @param decide - answers the events, or none; what it writes through its second argument commits with them. It may
   * be called several times. What it throws refuses the command.
   * @throws TidemarkError TIDEMARK_STREAM_CONFLICT when the last attempt conflicts too.
   */
  async decide<State>(
    entity: Entity<State>,
    id: string,
    decide: (state: State, tx: Transaction) => Drafts | undefined | Promise<Drafts | undefined>,
    options: DecideOptions = {},
  ): Promise<Committed<LoadedEntity<State>>> {
    this.#requireOpen()
    const [result, published] = await this.#publishing.decide(entity, id, decide, options)
    return { result, ...published, caughtUp: true }
  }

  /**
   * The events of the outbox, in order. It stops at the end, or with `follow` goes on until it is left.
   *
   * @example
   * ```ts
   * import { defineApp, defineEvent } from 'tidemark'
   * import { z } from 'zod'
   *
   * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
   * const tidemark = defineApp({ modules: [opened] })
   *
   * for await (const event of tidemark.events({ types: ['accounts.opened'] })) console.log(event.sequence)
   * ```
   */
  events(options: ReadOptions = {}): AsyncGenerator<RecordedEvent> {
    rejectUnknownOptions('events', options, ['after', 'types', 'follow', 'signal'])
    if (options.types !== undefined) requireTexts('events', 'types', options.types)
    if (options.follow !== undefined) requireBoolean('events', 'follow', options.follow)
    if (options.after !== undefined) requireSequence('events', 'after', options.after)
    if (options.signal !== undefined) requireSignal('events', 'signal', options.signal)
    const { registry } = this.#definitions
    const types = options.types?.flatMap((type) => registry.storedTypesOf(type))
    return outboxEvents(this.#database, this.schema, registry, {
      ...options,
      ...(types === undefined ? {} : { types }),
    })
  }

  /** The events of a stream in the order of its versions, after the given one. */
  stream(name: string, after: bigint = 0n): AsyncGenerator<RecordedEvent> {
    requireSequence('stream', 'after', after)
    return streamEvents(this.#database, this.schema, this.#definitions.registry, name, after)
  }

  /**
   * Runs the listeners and projections in this process until the runner is stopped or disposed, or the process is
   * told to end.
   *
   * @throws TidemarkError TIDEMARK_MIGRATION_REQUIRED, TIDEMARK_SCHEMA_TOO_NEW, TIDEMARK_INVARIANT_BROKEN or
   * TIDEMARK_MODE_CHANGED.
   */
  async start(options: RunnerOptions = {}): Promise<Runner> {
    checkRunnerOptions(options)
    this.#requireOpen()
    const runner = await Runner.start(
      {
        connection: this.options,
        outbox: this.#outbox,
        inline: this.#inline,
        registry: this.#definitions.registry,
        consumers: [...this.#definitions.consumers.values()],
        spawner: this.#spawner,
        outputs: this.#outputs,
        documentsBy: (database) => this.#documents(database),
        schedules: this.#definitions.schedules,
        logger: this.#logger,
        signals: this.#signals,
        waiting: () => this.#database.waiting,
        examine: () => this.doctor.examine({ quick: true }),
      },
      options,
    )
    this.#runners.add(runner)
    return runner
  }

  /**
   * Waits until listeners or projections have handled everything up to `sequence`: what they wrote can be read then.
   * Where this process runs them it is woken by their commits; else it asks the database, every 50 ms at most. An
   * inline projection never needs waiting for, and nor does null, which is what {@link transaction} answers when
   * nothing was published.
   *
   * @returns whether they have: false only with `onTimeout: 'return'`.
   * @throws TidemarkError TIDEMARK_WAIT_TIMEOUT, TIDEMARK_LISTENER_HALTED or TIDEMARK_UNKNOWN_LISTENER.
   */
  async waitFor(
    listeners: ListenerReference | readonly ListenerReference[],
    sequence: EventSequence | null,
    options: WaitOptions = {},
  ): Promise<boolean> {
    return this.#waiting.waitFor(listeners, sequence, options)
  }

  /**
   * The present state of a state projection, or of one key of a keyed projection.
   *
   * @throws TidemarkError TIDEMARK_INVALID_STATE when what is stored does not satisfy its schema.
   */
  read<State>(projection: StateProjection<State>): Promise<State>
  read<State>(projection: KeyedProjection<State>, key: string): Promise<State>
  async read<State>(
    projection: StateProjection<State> | KeyedProjection<State>,
    key?: string,
  ): Promise<State> {
    return this.#projections.read(projection, key)
  }

  /** A page of a keyed projection's keys and their states, in the order of the keys. */
  async list<State>(
    projection: KeyedProjection<State>,
    page: KeyPage = {},
  ): Promise<KeyedState<State>[]> {
    return listKeys(this.#database, this.schema, projection, page)
  }

  /**
   * Empties a projection and derives it again from sequence zero, in place: readers see it grow.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER when no process has started it yet, or TIDEMARK_EVENTS_PRUNED when
   * events that it handles were pruned, unless `evenPruned` is true.
   */
  async reset(projection: { readonly name: string }, options: GoBackOptions = {}): Promise<void> {
    await this.#projections.reset(projection.name, options)
  }

  /**
   * Rebuilds a projection beside the live one: a new generation is derived from sequence zero by whoever runs the
   * projection, and takes the live one's place in one transaction when it has caught up. Readers and publishers notice
   * nothing. Follow it with `rebuilds.progress`.
   *
   * @throws TidemarkError TIDEMARK_CANNOT_REBUILD, or TIDEMARK_UNKNOWN_LISTENER when no process has started it yet.
   */
  async rebuild(projection: { readonly name: string }): Promise<void> {
    await this.#projections.rebuild(projection.name)
  }

  /**
   * Which types and versions of events the outbox holds, and whether the definitions of this application read them.
   * It looks at a bounded number of pages.
   */
  async storedTypes(options: StoredTypesOptions = {}): Promise<StoredTypes> {
    rejectUnknownOptions('storedTypes', options, ['pages', 'newest'])
    if (options.pages !== undefined) requireWhole('storedTypes', 'pages', options.pages, 1)
    if (options.newest !== undefined) requireWhole('storedTypes', 'newest', options.newest, 1)
    return readStoredTypes(this.#database, this.schema, this.#definitions.registry, options)
  }

  /**
   * Repairs what needs no decision: partitions of the outbox that should be there by now, rows of processes that are
   * dead, and what is left of rebuilds that are over. Workers do most of it by themselves, in time.
   *
   * @param options.dryRun - only says what it would do. Defaults to false.
   */
  async repair(options: { readonly dryRun?: boolean } = {}): Promise<readonly Repair[]> {
    rejectUnknownOptions('repair', options, ['dryRun'])
    const { dryRun = false } = options
    requireBoolean('repair', 'dryRun', dryRun)
    this.#requireOpen()
    return repair(this.#database, this.schema, { dryRun })
  }

  /**
   * Looks at everything again and again, at the cost of one statement a look: for whoever shows how things stand. What it has
   * open is the application's.
   */
  observe(options: ObserverOptions = {}): Observer {
    this.#requireOpen()
    const { registry, consumers } = this.#definitions
    const { schema } = this
    const examined = {
      database: this.#database,
      schema,
      registry,
      consumers: [...consumers.values()],
    }
    return new Observer(examined, options)
  }

  /** Stops the runners, publishes what is waiting and closes the connections. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#runners].map((runner) => runner.stop()))
    await this.#coalescer.close()
    await this.#database.close()
  }

  /** What brings contexts of jobs into the store of the application, by what a database says. */
  #documents(database: Database): Documents | undefined {
    const { contextStore } = this.options
    if (contextStore === undefined) return undefined
    const { registry } = this.#spawner
    return new Documents(database, this.#outputs, contextStore, this.#logger, (name) =>
      registry.publish().find((type) => type.name === name),
    )
  }

  #requireOpen(): void {
    if (this.#closed === undefined) return
    throw closed()
  }
}

/**
 * Defines an application: what the CLI and workers load, and what modules publish with. It connects when it is
 * first used.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, TIDEMARK_INVALID_SCHEMA_NAME, TIDEMARK_EVENT_REDEFINED or
 * TIDEMARK_NAME_TAKEN.
 *
 * @example
 * ```ts
 * import { defineApp, defineEvent, defineProjection } from 'tidemark'
 * import { z } from 'zod'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 * const count = defineProjection('count', { version: 1, initial: () => 0 }).on(opened, (n) => n + 1)
 *
 * export default defineApp({ modules: [{ opened, count }] })
 * ```
 */
export function defineApp(options: AppOptions): App {
  checkAppOptions(options)
  return new App(options)
}
