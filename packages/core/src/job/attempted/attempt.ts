import {
  run,
  type Executor,
  type PreparingExecutor,
  type QueryResult,
} from '../../database/executor.ts'
import type { SchemaStatement } from '../../database/statement.ts'
import { after } from '../../database/timer.ts'
import { Guard } from '../../database/transaction/guard.ts'
import type { OpenTransaction } from '../../database/transaction/transaction.ts'
import { shown } from '../../errors/checked-text.ts'
import { guardListeners } from '../../errors/guarded-signal.ts'
import {
  isConnectionError,
  isContentRefused,
  isRetryableConflict,
} from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { currentCause } from '../../outbox/published/cause.ts'
import { wait } from '../../outbox/woken/wait.ts'
import type { ClaimedJob } from '../claimed/claimed-job.ts'
import type { JobDefinition } from '../defined/define-job.ts'
import { notStorable } from '../defined/job-codec.ts'
import type { JobEnvironment } from './environment.ts'
import {
  comesOf,
  cutsOff,
  interruptionError,
  saysInterrupted,
  type Interruption,
} from './interruption.ts'

/** One claim of one job: the right to write for it, until it has ended or somebody else has it. */
export class Attempt {
  readonly job: ClaimedJob
  readonly definition: JobDefinition
  readonly environment: JobEnvironment
  readonly startedAt: number = performance.now()
  /** Whether it has stored something that the next attempt goes on from. */
  progressed = false
  readonly #transactions = new Set<OpenTransaction>()
  #cut: PromiseWithResolvers<never> | undefined
  /** What ends the work that is given up when the attempt is cut off. */
  #cuts: Set<(error: Error) => void> | undefined
  #controller: AbortController | undefined
  #cutController: AbortController | undefined
  #interruption: Interruption | undefined
  #over = false
  #aborted = false
  #toldOfCancel = false
  #completed = false
  #commit: PromiseWithResolvers<void> | undefined
  #seemsLost = false
  #uncaught: unknown

  constructor(job: ClaimedJob, definition: JobDefinition, environment: JobEnvironment) {
    this.job = job
    this.definition = definition
    this.environment = environment
  }

  /** Whether it was completed in a transaction of its own that has committed. */
  get completed(): boolean {
    return this.#completed
  }

  /** The COMMIT that completes the job is about to be sent: from now on its answer says whose the job is. */
  beginCommit(): void {
    this.#commit = Promise.withResolvers<void>()
  }

  /** It was answered, or failed. */
  endCommit(committed: boolean): void {
    if (committed) this.#completed = true
    this.#commit?.resolve()
    this.#commit = undefined
    if (!this.#completed && this.#seemsLost) this.interrupt('lost')
  }

  /** Resolves when no COMMIT is under way that completes the job, or `patience` milliseconds have passed. */
  async answered(patience: number): Promise<void> {
    if (this.#commit === undefined) return
    const late = Promise.withResolvers<void>()
    const timer = after(patience, () => late.resolve())
    await Promise.race([this.#commit.promise, late.promise])
    timer.clear()
  }

  /** The parameters that every fenced statement begins with. */
  get fence(): [string, string] {
    return [this.job.id, this.job.token]
  }

  get interruption(): Interruption | undefined {
    return this.#interruption
  }

  /** What code gets that goes on although its attempt was cut off. */
  get lateError(): Error | undefined {
    const interruption = this.#interruption
    return interruption !== undefined && cutsOff(interruption)
      ? this.#error(interruption)
      : undefined
  }

  /** Aborts on every interruption but a drain. Made when it is first asked for. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      this.guardListeners(this.#controller.signal)
      if (this.#interruption !== undefined && this.#interruption !== 'drain') {
        this.#controller.abort(this.#error(this.#interruption))
      } else if (this.#aborted) this.#controller.abort(this.#endedError())
    }
    return this.#controller.signal
  }

  /** Has the errors of listeners, which would end the process, logged; answers the same signal. */
  guardListeners(signal: AbortSignal): AbortSignal {
    const { job, definition, environment } = this
    const { name } = definition
    return guardListeners(signal, (err) => {
      const fields = { job: job.id, name, err }
      environment.logger.error(fields, `a listener of an abort signal of ${name} threw`)
    })
  }

  /** Rejects when the attempt is cut off, or over. Made when it is first asked for: most jobs end before they wait. */
  get cut(): Promise<never> {
    if (this.#cut === undefined) {
      this.#cut = Promise.withResolvers<never>()
      this.#cut.promise.catch(() => {})
      const error = this.#cutError
      if (error !== undefined) this.#cut.reject(error)
    }
    return this.#cut.promise
  }

  /**
   * What some work comes to; rejects as soon as the attempt is cut off. Unlike a race with `cut`, which keeps what each of
   * its races came to until the attempt ends, it keeps nothing: an attempt may have a hundred thousand of them.
   */
  orCut<T>(work: T | PromiseLike<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const error = this.#cutError
    if (error !== undefined) reject(error)
    const cuts = (this.#cuts ??= new Set())
    cuts.add(reject)
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => cuts.delete(reject))
    return promise
  }

  /** What work is given up with that begins now; undefined: nothing has cut the attempt off, and it is not over. */
  get #cutError(): Error | undefined {
    const interruption = this.#interruption
    if (interruption !== undefined && cutsOff(interruption)) return this.#error(interruption)
    return this.#over ? this.#error('lost') : undefined
  }

  /** Ends all work that is given up when the attempt is cut off. */
  #giveUp(error: Error): void {
    this.#cut?.reject(error)
    for (const cut of this.#cuts ?? []) cut(error)
  }

  /** Aborts when the attempt is cut off, and not when it is only asked to stop. Made when it is first asked for. */
  get cutSignal(): AbortSignal {
    if (this.#cutController === undefined) {
      const controller = new AbortController()
      this.#cutController = controller
      this.guardListeners(controller.signal)
      this.cut.catch((error: unknown) => controller.abort(error))
    }
    return this.#cutController.signal
  }

  /** Whether it has ended: nothing of it counts any more. */
  get over(): boolean {
    return this.#over
  }

  /** Asks the attempt to stop, or cuts it off. What has ended is left alone; a cut is final. */
  interrupt(interruption: Interruption): void {
    const before = this.#interruption
    if (this.#over || (before !== undefined && cutsOff(before))) return
    // A look at the table between COMMIT and its answer finds the job completed, and nobody's any more: its own doing.
    if (interruption === 'lost' && (this.#completed || this.#commit !== undefined)) {
      this.#seemsLost = true
      return
    }
    // What could not be gone on with is not stopped half-way for something that can wait.
    const canWait = interruption === 'drain' || interruption === 'pause'
    if (canWait && !this.definition.resumable) return
    if (before !== undefined && before !== 'drain' && !cutsOff(interruption)) return
    this.#interruption = interruption
    if (interruption === 'drain') return
    const error = this.#error(interruption)
    if (cutsOff(interruption)) {
      for (const transaction of this.#transactions) {
        transaction.destroy(`was cut off: ${interruption}`)
      }
      this.#giveUp(error)
    }
    this.#controller?.abort(error)
  }

  /** Cuts the attempt off, because its code threw where nothing could catch it. */
  fail(error: unknown): void {
    this.#uncaught = error
    this.interrupt('uncaught')
  }

  /** @throws TidemarkError what interrupts the attempt, if anything does; also a drain. */
  throwIfInterrupted(): void {
    if (this.#over) throw this.#error('lost')
    if (this.#interruption !== undefined) throw this.#error(this.#interruption)
  }

  /**
   * What ends the attempt instead of an error that its code would take for the failure of a step or a wait; undefined:
   * the error is its code's affair. Whoever was asked to pause or to go on elsewhere has not failed. One that is
   * cancelled is told: it is not gone on with, and may clean up.
   */
  stopOf(error: unknown): Error | undefined {
    const interruption = this.#interruption
    if (interruption === 'cancel') {
      this.#toldOfCancel ||= saysInterrupted(error) || comesOf(this.signal.reason, error)
    }
    if (interruption !== 'drain' && interruption !== 'pause') return undefined
    return saysInterrupted(error) ? this.#error(interruption) : undefined
  }

  /** Whether a step or a wait of its code did not come to its end because the job is to be cancelled. */
  get toldOfCancel(): boolean {
    return this.#toldOfCancel
  }

  /**
   * What a step that threw is to throw because it was interrupted; undefined: it has failed by itself. A drain aborts
   * nothing, so only the error that says so comes of it.
   */
  interruptionOf(error: unknown): { readonly error: unknown } | undefined {
    const interruption = this.#interruption
    if (interruption === undefined) return this.#aborted ? { error } : undefined
    if (interruption === 'pause') return { error: this.#error(interruption) }
    return interruption === 'drain' && !saysInterrupted(error) ? undefined : { error }
  }

  /** @throws TidemarkError TIDEMARK_WAIT_IN_STEP inside of a step: a job that goes on later could not go on there. */
  requireOutside(id: string): void {
    const step = currentCause.getStore()?.step
    if (step === undefined) return
    this.#refuseWithin(`${shown(id)} waits`, `the step ${shown(step)}`)
  }

  /**
   * For what ends the attempt: what it is called in would be left half-way.
   *
   * @throws TidemarkError TIDEMARK_WAIT_IN_STEP inside of a step or a transaction.
   */
  requireOutermost(what: string): void {
    const step = currentCause.getStore()?.step
    const within = step === undefined ? 'a transaction' : `the step ${shown(step)}`
    if (step !== undefined || this.#isInTransaction()) {
      this.#refuseWithin(`${what} ends the attempt`, within)
    }
  }

  /**
   * A transaction within another one would hold one connection and wait for a second, as its neighbours do.
   *
   * @throws TidemarkError TIDEMARK_NESTED_TRANSACTION.
   */
  requireNoTransaction(what: string): void {
    if (!this.#isInTransaction()) return
    const { name } = this.definition
    throw new TidemarkError(
      'TIDEMARK_NESTED_TRANSACTION',
      `${name}: ${what} inside of \`ctx.transaction\` would begin a second transaction, which commits without the first`,
      {
        hint: 'Inside of it use what it gives you: `tx.spawn`, `tx.publish`, `tx.tx`; for a part that may fail, a savepoint. Do the rest before it or after it.',
        details: { job: name },
      },
    )
  }

  #isInTransaction(): boolean {
    for (const transaction of Guard.around()) {
      if (this.#transactions.has(transaction)) return true
    }
    return false
  }

  #refuseWithin(what: string, within: string): never {
    const { name } = this.definition
    throw new TidemarkError('TIDEMARK_WAIT_IN_STEP', `${name}: ${what} inside of ${within}`, {
      details: { job: name, within },
    })
  }

  /** Whether its code was told that the attempt is over. */
  get aborted(): boolean {
    return this.#aborted
  }

  /** Lets code that was left behind, such as the losers of a race, see that the attempt is over. */
  abort(): void {
    this.#aborted = true
    this.#controller?.abort(this.#endedError())
  }

  #endedError(): TidemarkError {
    const { name } = this.definition
    const message = `${name} ${this.job.id}: the attempt is over`
    const details = { name, id: this.job.id, reason: 'over' }
    return new TidemarkError('TIDEMARK_JOB_INTERRUPTED', message, { details })
  }

  /** Nothing that comes later is written. */
  end(): void {
    this.#over = true
    if (this.#transactions.size === 0) return
    // Code that never ends is not waited for: its connection must go back to the pool.
    this.#giveUp(this.#error('lost'))
    for (const transaction of this.#transactions) transaction.destroy('belongs to a job that ended')
  }

  /**
   * Runs one of the statements that are fenced by id and token.
   *
   * @returns the rows that it answers.
   * @throws TidemarkError TIDEMARK_JOB_LOST when the fence did not hold; then the attempt is cut off.
   */
  async write(
    statement: SchemaStatement,
    values: readonly unknown[],
    executor: Executor | PreparingExecutor = this.environment.database,
  ): Promise<QueryResult['rows']> {
    this.#requireAlive()
    const { rowCount, rows } = await this.#send(statement, values, executor)
    if (rowCount !== 0) return rows
    this.interrupt('lost')
    throw this.#error('lost')
  }

  /**
   * The same for what has happened already and must not happen again for want of a connection: it is tried until the
   * attempt is cut off. Only for what may be written twice; a transaction is not begun again here.
   */
  async persist(
    statement: SchemaStatement,
    values: readonly unknown[],
    executor?: Executor | PreparingExecutor,
  ): Promise<QueryResult['rows']> {
    if (executor !== undefined) return this.write(statement, values, executor)
    for (let pause = 50; ; pause = Math.min(pause * 2, 2_000)) {
      try {
        return await this.write(statement, values)
      } catch (error) {
        if (!isConnectionError(error) && !isRetryableConflict(error)) throw error
        await wait(pause, this.cutSignal)
      }
    }
  }

  /** What the server does not take is the value's fault, and stays so: it is not tried again. */
  async #send(
    statement: SchemaStatement,
    values: readonly unknown[],
    executor: Executor | PreparingExecutor,
  ): Promise<QueryResult> {
    const { name } = this.definition
    try {
      const { schema } = this.environment.outbox
      return await run(executor, statement(schema), [...this.fence, ...values])
    } catch (cause) {
      if (!isContentRefused(cause)) throw cause
      throw notStorable(`what ${name} ${this.job.id} wrote`, '', cause)
    }
  }

  /** Has the transaction destroyed if the attempt is cut off; answers what ends that. */
  watch(transaction: OpenTransaction): () => void {
    this.#requireAlive()
    this.#transactions.add(transaction)
    // The server ends the session of a frozen process; this one lives.
    const pulse = setInterval(() => {
      transaction.query('SELECT 1').catch(() => {})
    }, this.environment.leaseDuration / 3)
    return () => {
      clearInterval(pulse)
      this.#transactions.delete(transaction)
    }
  }

  #requireAlive(): void {
    if (this.#over) throw this.#error('lost')
    if (this.#interruption !== undefined && cutsOff(this.#interruption)) {
      throw this.#error(this.#interruption)
    }
  }

  #error(interruption: Interruption): Error {
    const { name, timeout } = this.definition
    return interruptionError(name, this.job.id, interruption, timeout, this.#uncaught)
  }
}
