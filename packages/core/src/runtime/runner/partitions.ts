import { run, type PreparingExecutor } from '../../database/executor.ts'
import { advanceIdle } from '../../database/sql/listener/cursors.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { exponential } from '../../listener/declared/backoff.ts'
import { recordFailedAttempt } from '../../listener/failed/failure.ts'
import {
  isDriven,
  PartitionRunner,
  type LeaseRunner,
  type RunnerEnvironment,
} from '../../listener/handled/partition-runner.ts'
import { assignPartitions, type AssignablePartition } from '../../listener/leased/assignment.ts'
import {
  acquire,
  leaseIdOf,
  leaseLost,
  placeOf,
  release,
  type HeldLease,
  type Lease,
} from '../../listener/leased/lease.ts'
import { RosterReader, type Roster } from '../../listener/leased/roster.ts'
import type { Consumer, Environment } from '../../listener/read/consumer.ts'
import { finishResizes } from '../../listener/steered/resize.ts'
import { readHorizon } from '../../outbox/ordered/horizon.ts'
import type { Tail } from '../../outbox/read/tail.ts'
import { wait } from '../../outbox/woken/wait.ts'
import { SwitchAttempts } from '../../projection/rebuilt/switch-attempts.ts'
import { trySwitch } from '../../projection/rebuilt/switch.ts'
import type { Condition } from '../upkeep/vital-signs.ts'
import { Semaphore } from './semaphore.ts'

/** What the partitions of a process work with. */
export interface PartitionsEnvironment extends Omit<Environment, 'onCaughtUp'> {
  readonly process: string
  readonly consumers: readonly Consumer[]
  readonly tail: Tail
  readonly drainTimeout: number
}

interface Running {
  readonly runner: LeaseRunner
  readonly drain: AbortController
  readonly kill: AbortController
  readonly done: Promise<void>
}

const reasons = {
  late: 'it did not come as far as the live one in the time for which that may be held',
  locked: 'somebody uses its tables for longer than the switch may wait',
} as const
// How long to wait after an attempt to switch that failed with an error, in milliseconds.
const failedSwitchInterval = 5000
// How long to wait before a lease is given back once more.
const patience = exponential(50, '1s')
// Connections that batches leave to the reader, the heartbeat and publishers.
const reservedConnections = 3

/** The listener partitions that this process runs: it takes leases, renews them and gives them back. */
export class Partitions {
  readonly #environment: PartitionsEnvironment
  readonly #consumers: ReadonlyMap<string, Consumer>
  readonly #running = new Map<string, Running>()
  readonly #slots: Semaphore
  // Each switch needs two connections and holds a live generation still: of many at once none would have its second.
  readonly #switches = new Semaphore(1)
  readonly #roster: RosterReader
  /** Who is to run what, by the roster that it was computed from. */
  #assigned:
    | { readonly from: Roster; readonly owners: ReturnType<typeof assignPartitions> }
    | undefined
  readonly #switching = new Set<string>()
  /** Ends what waits for the next attempt to switch, when the partitions stop. */
  #stopping = new AbortController()
  readonly #attempts = new Map<string, SwitchAttempts>()
  /** Why projections could not be switched, the last time that it was tried. */
  readonly #unswitched = new Map<string, string>()

  constructor(environment: PartitionsEnvironment) {
    this.#environment = environment
    this.#consumers = new Map(
      environment.consumers
        .filter((consumer) => consumer.mode === 'async')
        .map((consumer) => [consumer.name, consumer]),
    )
    this.#roster = new RosterReader(environment.outbox.schema, environment.leaseDuration)
    const connections = environment.database.most
    this.#slots = new Semaphore(Math.max(1, connections - reservedConnections))
  }

  /** How many processes live, as far as is known. */
  get processes(): number {
    return this.#assigned?.from.processes.length ?? 1
  }

  /** How many of them follow the outbox. */
  get followers(): number {
    const owners = this.#assigned?.from.partitions.map(({ owner }) => owner) ?? []
    return new Set(owners.filter((owner) => owner !== null)).size
  }

  get size(): number {
    return this.#running.size
  }

  get names(): readonly string[] {
    return [...this.#running.values()]
      .map(({ runner }) => `${runner.lease.listener}#${runner.lease.partition}`)
      .toSorted()
  }

  /**
   * Takes the partitions that are this process's share and runs them; hands over those that are another's by now.
   * `prepare` is called before the first partition runs.
   */
  async balance(prepare: () => Promise<void>): Promise<void> {
    const { database, outbox, process, leaseDuration } = this.#environment
    if (this.#consumers.size === 0) return
    const assigned = await this.#assign()
    const running = new Map([...this.#running.values()].map((one) => [one.runner.lease.place, one]))
    const wanted: AssignablePartition[] = []
    for (const [partition, owner] of assigned) {
      const mine = running.get(placeOf(partition))
      if (owner !== process) mine?.drain.abort()
      // One that is inline here was so elsewhere too: until the rebuild of a newer version ends nobody runs it.
      else if (mine === undefined && this.#consumers.has(partition.listener)) wanted.push(partition)
    }
    if (wanted.length === 0) return
    const leases = await acquire(database, outbox.schema, process, leaseDuration, wanted)
    if (leases.length === 0) return
    await prepare()
    for (const lease of leases) await this.#startOrRefuse(lease)
  }

  /** Decides who runs what, which costs nothing while nothing changes. */
  async #assign(): Promise<ReturnType<typeof assignPartitions>> {
    const { database, outbox } = this.#environment
    let { roster, resizing } = await this.#roster.read(database)
    if (resizing) {
      await finishResizes(database, outbox.schema)
      roster = (await this.#roster.read(database)).roster
    }
    this.#noteLive(roster.partitions)
    if (this.#assigned?.from !== roster) {
      const owners = assignPartitions(roster.processes, roster.partitions)
      this.#assigned = { from: roster, owners }
    }
    return this.#assigned.owners
  }

  /** A generation that was under construction may be the live one by now. */
  #noteLive(partitions: readonly AssignablePartition[]): void {
    const live = new Set(partitions.filter((partition) => partition.live).map(placeOf))
    for (const { runner } of this.#running.values()) {
      if (live.has(runner.lease.place)) runner.lease.live = true
    }
  }

  /** Switches to the generation under construction when it is time; one attempt at a time, and not too many. */
  async #switch(consumer: Consumer, rate: number): Promise<void> {
    const { database, outbox, logger } = this.#environment
    if (this.#switching.has(consumer.name)) return
    this.#switching.add(consumer.name)
    const attempts = this.#attempts.get(consumer.name) ?? new SwitchAttempts()
    this.#attempts.set(consumer.name, attempts)
    try {
      const environment = { database, schema: outbox.schema, logger }
      const { signal } = this.#stopping
      const outcome = await this.#inTurn(async () =>
        signal.aborted ? 'early' : trySwitch(environment, consumer, rate, attempts),
      )
      if (outcome === 'switched') {
        this.#attempts.delete(consumer.name)
        this.#unswitched.delete(consumer.name)
        for (const { runner } of this.#running.values()) {
          if (runner.lease.listener === consumer.name) runner.lease.live = true
        }
      } else {
        if (outcome !== 'early') this.#unswitched.set(consumer.name, reasons[outcome])
        await wait(attempts.pauseAfter(outcome), this.#stopping.signal)
      }
    } catch (error) {
      logger.warn(
        { listener: consumer.name, err: error },
        `${consumer.name} could not be switched to its rebuilt generation`,
      )
      this.#unswitched.set(consumer.name, messageOf(error))
      await wait(failedSwitchInterval, this.#stopping.signal)
    } finally {
      this.#switching.delete(consumer.name)
    }
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const giveBack = await this.#switches.acquire()
    try {
      return await work()
    } finally {
      giveBack()
    }
  }

  /** What is wrong with the partitions of this process, that nobody else can see. */
  conditions(): readonly Condition[] {
    const leases = [...this.#running.values()].map(({ runner }) => runner.lease)
    const building = new Set(leases.filter(({ live }) => !live).map(({ listener }) => listener))
    return [
      ...leases.flatMap(({ listener, partition, partitions, busySince, live }) =>
        busySince === null || !live
          ? []
          : {
              code: 'slow' as const,
              name: listener,
              since: busySince,
              why: partitions === 1 ? 'at one batch' : `partition ${partition} at one batch`,
            },
      ),
      ...[...this.#unswitched]
        .filter(([projection]) => building.has(projection))
        .map(([name, why]) => ({ code: 'switch' as const, name, why })),
    ]
  }

  async #startOrRefuse(lease: Lease): Promise<void> {
    const { database, outbox, tail } = this.#environment
    // The tail's own look may be older than what another process did since.
    const ahead =
      lease.cursor > tail.lastSequence ? await readHorizon(database, outbox.schema) : undefined
    if (ahead === undefined || lease.cursor <= ahead.lastSequence) this.#start(lease)
    else await this.#refuse(lease, ahead.lastSequence)
  }

  /**
   * Gives up what another process owns by now.
   *
   * @param renew - renews the leases; answers those that the process still has.
   */
  async keep(renew: () => Promise<readonly HeldLease[]>): Promise<void> {
    const before = new Map(this.#running)
    const held = new Set((await renew()).map(leaseIdOf))
    for (const [id, running] of before) {
      if (!held.has(id)) this.#giveUp(running)
    }
  }

  /**
   * Moves the stored cursors of idle partitions past events of other types, all in one statement.
   *
   * @param only - the listeners whose partitions are moved. Defaults to all.
   */
  async flush(only?: ReadonlySet<string>): Promise<void> {
    const { database, outbox } = this.#environment
    const idle = [...this.#running.values()].filter(({ runner: { lease } }) => {
      if (only?.has(lease.listener) === false) return false
      return (
        lease.busySince === null && lease.failedSequence === null && lease.position > lease.cursor
      )
    })
    if (idle.length === 0) return
    const moving = this.#move(database, outbox.schema, idle)
    const settled = moving.catch(() => {})
    for (const { runner } of idle) runner.lease.moving = settled
    await moving
  }

  async #move(
    executor: PreparingExecutor,
    schema: string,
    idle: readonly Running[],
  ): Promise<void> {
    const leases = idle.map(({ runner }) => runner.lease)
    const positions = leases.map((lease) => lease.position)
    const { rows } = await run(executor, advanceIdle(schema), [
      leases.map((lease) => lease.listener),
      leases.map((lease) => lease.generation),
      leases.map((lease) => lease.partition),
      leases.map((lease) => lease.epoch),
      leases.map((lease) => lease.cursor),
      positions,
    ])
    const key = (listener: unknown, generation: unknown, partition: unknown): string =>
      JSON.stringify([listener, generation, partition])
    const moved = new Set(
      rows.map((row) => key(row['listener'], row['generation'], row['partition'])),
    )
    for (const [index, running] of idle.entries()) {
      const { lease } = running.runner
      const position = positions[index]
      if (position === undefined) continue
      if (moved.has(key(lease.listener, lease.generation, lease.partition))) {
        lease.cursor = position
        this.#environment.signals.moved(lease.listener, position)
      } else {
        this.#giveUp(running)
      }
    }
  }

  /** Gives back what this process still holds from earlier sessions. */
  async releaseAll(): Promise<void> {
    const { database, outbox, process } = this.#environment
    await database.query(
      `UPDATE "${outbox.schema}".cursors SET owner = NULL, lease_until = NULL WHERE owner = $1`,
      [process],
    )
  }

  /**
   * Stops all partitions and waits for them.
   *
   * @param drain - whether batches under way may finish; they may not when connections were lost.
   */
  async stop(drain: boolean): Promise<void> {
    this.#stopping.abort()
    this.#stopping = new AbortController()
    const running = [...this.#running.values()]
    for (const { drain: abort } of running) abort.abort()
    const all = Promise.all(running.map(({ done }) => done))
    if (drain) {
      const drained = new AbortController()
      void all.finally(() => drained.abort())
      await wait(this.#environment.drainTimeout, drained.signal)
    }
    for (const { kill } of running)
      kill.abort(new TidemarkError('TIDEMARK_CLOSED', 'the runner stops'))
    await all
  }

  #start(lease: Lease): void {
    const consumer = this.#consumers.get(lease.listener)
    if (consumer === undefined) return
    const environment: RunnerEnvironment = {
      ...this.#environment,
      slots: this.#slots,
      onCaughtUp: (caughtUp, rate) => void this.#switch(caughtUp, rate),
    }
    const runner = isDriven(consumer)
      ? consumer.drive(lease, environment)
      : new PartitionRunner(consumer, lease, environment)
    const drain = new AbortController()
    const kill = new AbortController()
    const done = this.#run(runner, drain.signal, kill.signal)
    this.#running.set(lease.id, { runner, drain, kill, done })
  }

  async #run(runner: LeaseRunner, drain: AbortSignal, kill: AbortSignal): Promise<void> {
    const { logger, signals } = this.#environment
    const { lease } = runner
    const ended = signals.started(lease.listener)
    const fields = { listener: lease.listener, partition: lease.partition, epoch: lease.epoch }
    try {
      const stopped = await runner.run(drain, kill)
      if (stopped === 'lost') {
        logger.warn(fields, `${lease.listener} is run by another process now`)
        // Or by nobody: a commit whose answer was lost has moved the cursor, and the lease is this process's still.
        await this.#giveBack(lease, drain)
      }
      if (stopped === 'stopped' || stopped === 'resized') await this.#giveBack(lease, drain)
    } catch (error) {
      if (!kill.aborted) {
        logger.warn(
          { ...fields, err: error },
          `${lease.listener} was interrupted; it goes on from its cursor`,
        )
      }
      await this.#giveBack(lease, drain)
    } finally {
      ended()
      this.#running.delete(lease.id)
    }
  }

  /**
   * Gives a lease back, however often that takes. INVARIANT: what is renewed is run: a lease that could not be given back,
   * because connections are refused, would be renewed with the others, and nobody could ever take it.
   */
  async #giveBack(lease: Lease, drain: AbortSignal): Promise<void> {
    const { database, outbox } = this.#environment
    for (let attempt = 1; ; attempt++) {
      try {
        await release(database, outbox.schema, lease)
        return
      } catch {
        // The session ends: whatever it still holds is given back by the next one, or expires with the process.
        if (drain.aborted) return
        await wait(patience(attempt), drain)
      }
    }
  }

  #giveUp({ runner, drain, kill }: Running): void {
    drain.abort()
    kill.abort(leaseLost(runner.lease))
  }

  /** A cursor beyond the outbox: going on would skip what is published until the numbers meet again. */
  async #refuse(lease: Lease, lastSequence: EventSequence): Promise<void> {
    const { database, outbox, logger } = this.#environment
    const error = new TidemarkError(
      'TIDEMARK_CURSOR_AHEAD',
      `the cursor of ${lease.listener} is at ${lease.cursor}, but the last sequence is ${lastSequence}`,
      { details: { listener: lease.listener, cursor: lease.cursor, lastSequence } },
    )
    logger.error({ listener: lease.listener, err: error }, `${lease.listener} has halted`)
    await recordFailedAttempt(database, outbox.schema, lease, {
      sequence: null,
      attempts: 0,
      error,
      retryIn: null,
    })
  }
}
