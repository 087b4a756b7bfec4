import { run } from '../../database/executor.ts'
import type { Database } from '../../database/pool.ts'
import { ensurePartitions, sweepProcesses } from '../../database/sql/listener/processes.ts'
import { sweepDoorbells } from '../../database/sql/outbox/doorbell.ts'
import { forgetKeys } from '../../database/sql/outbox/idempotency-keys.ts'
import { sweepStates } from '../../database/sql/projection/rebuild.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { errorCodeOf } from '../../errors/postgres-error.ts'
import type { DocumentSweep } from '../../job/documented/document-sweep.ts'
import type { OutputSweep } from '../../job/outputs/output-sweep.ts'
import type { JobKeeper } from '../../job/running/job-keeper.ts'
import { hasStrays } from '../../outbox/kept/partitions.ts'
import type { PruneOptions } from '../../outbox/kept/prune-plan.ts'
import { prune } from '../../outbox/kept/prune.ts'
import { detectSkips } from '../../outbox/ordered/skip-detector.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { forgetOldActions } from '../recorded/audit.ts'
import { sample } from '../recorded/history.ts'
import type { Condition } from './vital-signs.ts'

/** What maintenance works with. */
export interface MaintenanceEnvironment {
  readonly database: Database
  readonly schema: string
  readonly logger: Logger
  /** How long a process may be silent before it is forgotten, in milliseconds. */
  readonly silence: number
  /** How many sequences a partition holds. */
  readonly partitionSize: number
  /** How long idempotency keys are kept, in milliseconds; undefined: for ever. */
  readonly keepKeys: number | undefined
  /** How long it is kept who steered what, in milliseconds. */
  readonly keepAudit: number
  /** Which partitions of the outbox go; undefined: none. */
  readonly keepEvents: PruneOptions | undefined
  /** How often a horizon is sampled, in milliseconds. */
  readonly sampleInterval: number
  /** What looks after the history of jobs. */
  readonly jobs: JobKeeper
  /** What deletes large outputs that nothing refers to. */
  readonly outputs: OutputSweep
  /** What brings documents up to date, and deletes those of jobs that are gone. */
  readonly documents: DocumentSweep
}

// Making a partition waits for whoever reads the outbox in a long transaction, and everybody else queues behind it.
const lockTimeout = 1_000
const mostSilence = 600_000
// After how many milliseconds a partition that somebody needs is looked at again.
const pruneAgain = 3_600_000

/**
 * What any process does now and then for all of them. Each part stands alone: one that fails is logged, and does not
 * keep the others from being done.
 */
export class Maintenance {
  readonly #environment: MaintenanceEnvironment
  #strayAlarm = 0
  #silence = 60_000
  #pruneAgain = 0
  /** Why the last partition was not pruned, as it was logged. */
  #pruneStopped: string | null = null

  constructor(environment: MaintenanceEnvironment) {
    this.#environment = environment
  }

  /** What keeps maintenance from what it is to do. */
  conditions(): readonly Condition[] {
    return this.#pruneStopped === null
      ? []
      : [{ code: 'retention', name: 'events', why: this.#pruneStopped }]
  }

  /** One round. */
  async run(): Promise<void> {
    const { database, schema, silence, keepKeys, keepAudit, keepEvents, jobs, outputs, documents } =
      this.#environment
    await run(database, sweepProcesses(schema), [silence])
    await run(database, sweepDoorbells(schema), [])
    await this.#attempt('partitions', () => this.#makePartitions())
    await this.#attempt('the default partition', () => this.#lookForStrays())
    await this.#attempt('the skip detector', () => this.#lookForSkips())
    // In bounded steps: what is left comes with the next round.
    await run(database, sweepStates(schema), [])
    await this.#attempt('the history of jobs', async () => void (await jobs.run()))
    if (keepKeys !== undefined) await run(database, forgetKeys(schema), [keepKeys])
    await this.#attempt('the history', () => sample(database, schema))
    await this.#attempt('the audit', () => forgetOldActions(database, schema, keepAudit))
    if (keepEvents !== undefined) await this.#attempt('old events', () => this.#prune(keepEvents))
    // The last: it waits for what is not ours.
    await this.#attempt('the store of outputs', async () => void (await outputs.run()))
    await this.#attempt('the store of contexts', async () => void (await documents.run()))
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    const { logger } = this.#environment
    try {
      await work()
    } catch (error) {
      if (errorCodeOf(error) === lockNotAvailable) {
        logger.debug({ err: error }, `maintenance of ${what} waits for a long transaction`)
      } else {
        logger.warn({ err: error }, `maintenance of ${what} failed`)
      }
    }
  }

  async #makePartitions(): Promise<void> {
    const { database, schema, partitionSize } = this.#environment
    await inTransaction(database, brief, async (transaction) => {
      await transaction.query(`SELECT set_config('lock_timeout', $1, true)`, [String(lockTimeout)])
      await run(transaction, ensurePartitions(schema), [partitionSize])
    })
  }

  async #prune(options: PruneOptions): Promise<void> {
    const { database, schema, logger } = this.#environment
    if (performance.now() < this.#pruneAgain) return
    const { partitions, stopped } = await prune(database, schema, options)
    const names = partitions.map(({ partition }) => partition.name)
    if (names.length > 0) logger.info({ partitions: names }, `pruned ${names.join(', ')}`)
    const { reason = null } = stopped ?? {}
    if (stopped === undefined || reason === 'age' || reason === 'horizon') {
      this.#pruneStopped = null
      return
    }
    // It is old enough and stays all the same. To find that out, all of it was read: not each minute.
    if (reason !== 'unread') this.#pruneAgain = performance.now() + pruneAgain
    if (stopped.because === this.#pruneStopped) return
    this.#pruneStopped = stopped.because
    logger.info(
      { partition: stopped.partition.name, reason },
      `${stopped.partition.name} is not pruned: ${stopped.because}`,
    )
  }

  /** Events in the default partition: their range can get no partition until they are moved. */
  async #lookForStrays(): Promise<void> {
    const { database, schema, logger } = this.#environment
    if (!(await hasStrays(database, schema))) {
      this.#silence = 60_000
      return
    }
    const now = performance.now()
    if (now < this.#strayAlarm) return
    this.#strayAlarm = now + this.#silence
    this.#silence = Math.min(this.#silence * 2, mostSilence)
    logger.error(
      { schema, partition: 'events_default' },
      'events are in the default partition: no partition was made for them in time; `tidemark doctor` says how to move them',
    )
  }

  async #lookForSkips(): Promise<void> {
    const { database, schema, logger, sampleInterval } = this.#environment
    for (const skip of await detectSkips(database, schema, sampleInterval)) {
      const { sequence, xid, horizon, sampledAt } = skip
      logger.error(
        { sequence, xid, horizon, sampledAt },
        `event ${sequence} turned up below the horizon ${horizon}, which readers had passed: listeners may have skipped it. It was published without the trigger of the outbox`,
      )
    }
  }
}

const lockNotAvailable = '55P03'
