import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate } from 'node:timers/promises'
import type pg from 'pg'
import { judgeAltered, judgeThrown } from '../../errors/blame.ts'
import { isPlanLost } from '../../errors/origin.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { dbOn } from '../bound/db-on.ts'
import type { PreparingExecutor, QueryResult, TextRow } from '../executor.ts'
import { named } from '../sent/prepared-names.ts'
import type { Statement } from '../statement.ts'
import { risksOf } from './text-risks.ts'
import { controlError, type Verdict } from './transaction-control.ts'
import type { OpenTransaction } from './transaction.ts'
import { WatchedPromise } from './watched-promise.ts'

const within = new AsyncLocalStorage<Guard>()

/**
 * Stands between a handler and the transaction that it works in. The handler may run any statement and have savepoints;
 * it may not end the transaction, nor run anything once it has returned. Whoever owns the transaction asks the guard
 * afterwards whether what the handler did may commit.
 */
export class Guard {
  readonly #transaction: OpenTransaction
  readonly #owner: string
  readonly #onMisuse: (message: string) => void
  readonly #pending = new Set<WatchedPromise<unknown>>()
  /** How many of them nobody was to wait for. */
  #sending = 0
  readonly #failed: { readonly promise: WatchedPromise<unknown>; readonly error: unknown }[] = []
  #executor: PreparingExecutor | undefined
  #db: unknown
  #onIdle: (() => void) | undefined
  #closed = false
  #finished = false
  #traces = false
  /** Whether it was sent something that changes what its statements mean, and how long they may take. */
  #altered = false
  /** Of the handler whose work has begun this one's. */
  readonly #outer: Guard | undefined = within.getStore()
  #blemish: { readonly error: unknown } | undefined
  #doubt: { readonly error: unknown } | undefined
  /** A plan that was older than its table: the handler asked for none, and runs again whatever it makes of that. */
  #stale: { readonly error: unknown } | undefined

  /**
   * @param owner - who works in it, for people: `the job send_email 0198…`.
   * @param onMisuse - told what a handler did that it did not mean, in words. It must not throw.
   */
  constructor(transaction: OpenTransaction, owner: string, onMisuse: (message: string) => void) {
    this.#transaction = transaction
    this.#owner = owner
    this.#onMisuse = onMisuse
  }

  /** The transactions whose handlers the present code is part of, the innermost first. */
  static *around(): Generator<OpenTransaction> {
    for (let guard = within.getStore(); guard !== undefined; guard = guard.#outer) {
      yield guard.#transaction
    }
  }

  /** What the handler is given; made when it is first used. Its `run` and `fetch` are for Tidemark's own statements. */
  get executor(): PreparingExecutor {
    return (this.#executor ??= Object.freeze({
      query: (text: string, values?: unknown[]) => this.#query(text, values),
      run: (statement: Statement, values: unknown[]) => this.#run(statement, values),
      fetch: (statement: Statement, values: unknown[]) => this.#fetch(statement, values),
      ask: (config: pg.QueryConfig) => this.#ask(config),
    }))
  }

  /** The application's `db`, bound to the executor; made when it is first used. */
  db(): unknown {
    return (this.#db ??= dbOn(this.executor, this.#transaction.bind))
  }

  /** Runs the handler, or a part of it. What it starts here and leaves behind is recognised later. */
  run<T>(work: () => T): T {
    return within.run(this, work)
  }

  /** Runs the whole handler; what it throws is judged. */
  async handle<T>(work: () => Promise<T> | T): Promise<T> {
    try {
      return await this.run(work)
    } catch (error) {
      throw this.judge(error, true)
    }
  }

  /** Sends a statement whose answer the handler does not wait for: when it fails, nothing commits. */
  send(text: string, values: unknown[] = []): void {
    if (!this.admits('sent a statement')) return
    const verdict = this.#check(text)
    const sent = this.#prepares
      ? this.#transaction.sending(text, values)
      : this.#transaction.query(text, values)
    void this.#watch(sent, (answer) => this.#read(answer, verdict), true)
  }

  /**
   * Whether the handler may still do this. What a handler that has returned left behind is told no, and nothing comes of
   * what it awaits: nobody would see its error, and Node would end the process for it. It is reported, and nothing
   * commits if that can still be prevented.
   *
   * @throws TidemarkError TIDEMARK_TRANSACTION_CLOSED when somebody else asks after the end, or it was cut off.
   */
  admits(deed: string): boolean {
    if (!this.#closed) return true
    const error = new TidemarkError(
      'TIDEMARK_TRANSACTION_CLOSED',
      `${this.#owner} ${deed} after its handler had returned`,
    )
    if (within.getStore() !== this || this.#transaction.destroyed) throw error
    if (!this.#finished) this.#blemish ??= { error }
    this.#onMisuse(error.message)
    return false
  }

  /** Keeps a promise that the handler may have forgotten from ending the process, and remembers its failure. */
  watch<T>(work: () => Promise<T>, deed: string, read?: (value: T) => T): Promise<T> {
    try {
      return this.admits(deed) ? this.#watch(work(), read) : new Promise(() => {})
    } catch (error) {
      const refused = new WatchedPromise<T>((_, reject) => reject(error))
      refused.quieten()
      return refused
    }
  }

  /** Reports what a handler that has returned has left under way: it belongs to the transaction all the same. */
  returned(): void {
    if (this.#pending.size === this.#sending) return
    this.#onMisuse(`the handler of ${this.#owner} returned before its statements had ended`)
  }

  /** Takes nothing more from the handler. */
  close(): void {
    this.#closed = true
  }

  /**
   * Takes nothing more from the handler, and waits for what it has left under way.
   *
   * @throws what forbids that anything of it commits, whether the handler has swallowed it or not.
   */
  async finish(): Promise<void> {
    this.#closed = true
    this.returned()
    while (this.#pending.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
      // What waited for them goes on now; what it asks for must be seen before anything commits.
      await setImmediate()
    }
    this.#finished = true
    // Nobody has asked how it went: then nobody has decided that it may fail.
    const forgotten = this.#failed.find(({ promise }) => !promise.observed)
    const blemish = this.#stale ?? this.#blemish ?? forgotten
    if (blemish !== undefined) throw blemish.error
  }

  /**
   * The error of the last statement, if it failed: then the server may have given the transaction up, and will say so
   * when it is asked.
   */
  get doubt(): { readonly error: unknown } | undefined {
    return this.#doubt
  }

  /**
   * Says of what the handler threw, or of what came of it in the transaction, whose fault it is.
   *
   * @returns what it has failed with: another error, if the handler was sent on its way by one that is not its own.
   */
  judge(error: unknown, thrown: boolean): unknown {
    if (this.#stale !== undefined) return this.#stale.error
    if (thrown) judgeThrown(error, this.#transaction.failedLike(error))
    if (this.#altered) judgeAltered(error)
    return error
  }

  /** Whether what comes after it in the transaction may find another session: other settings, another role. */
  get leavesTraces(): boolean {
    return this.#traces
  }

  #query(text: string, values: unknown[] = []): Promise<QueryResult> {
    return this.#answer<QueryResult>(text, ({ single }) => {
      if (single) return this.#transaction.queryOne(text, values)
      return this.#transaction.ask(this.#named({ text, values }))
    })
  }

  #ask(config: pg.QueryConfig): Promise<pg.QueryResult> {
    return this.#answer(config.text, ({ single }) => {
      const one = single ? { ...config, queryMode: 'extended' as const } : this.#named(config)
      return this.#transaction.ask(one)
    })
  }

  #named(config: pg.QueryConfig): pg.QueryConfig {
    return this.#prepares ? named(config) : config
  }

  /** After a change of the session or of a table a text may mean something else than when it was planned. */
  get #prepares(): boolean {
    return this.#transaction.repeats && !this.#traces
  }

  #run(statement: Statement, values: unknown[]): Promise<QueryResult> {
    return this.#answer(statement.text, () => this.#transaction.run(statement, values))
  }

  #fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]> {
    return this.watch(() => {
      this.#check(statement.text)
      return this.#transaction.fetch(statement, values)
    }, 'ran a statement')
  }

  /** Runs a statement whose text and whose answer say nothing against it. */
  #answer<T extends QueryResult>(text: string, send: (verdict: Verdict) => Promise<T>): Promise<T> {
    let verdict: Verdict | undefined
    return this.watch(
      () => send((verdict = this.#check(text))),
      'ran a statement',
      (answer) => this.#read(answer, verdict ?? this.#check(text)),
    )
  }

  #check(text: string): Verdict {
    const { verdict, alters, traces } = risksOf(text)
    this.#altered ||= alters
    if (traces !== 'none') {
      this.#transaction.leave(traces)
      this.#traces = true
    }
    return this.#permit(verdict)
  }

  #permit(verdict: Verdict): Verdict {
    if (verdict.refused === undefined) return verdict
    const error = controlError(this.#owner, verdict.refused)
    // Also where the handler swallows it: it believes that something was rolled back, or committed.
    this.#blemish ??= { error }
    throw error
  }

  /** The text was harmless. If the answer is of something else the text was misread, and nothing may commit. */
  #read<T extends QueryResult>(answer: T, verdict: Verdict): T {
    this.#doubt = undefined
    // The driver answers several statements with an array, whatever its type says.
    const answers: readonly QueryResult[] = Array.isArray(answer) ? answer : [answer]
    let { rollbacksTo, prepares } = verdict
    for (const { command } of answers) {
      if (command === undefined || !controls.has(command)) continue
      if (command === 'ROLLBACK' && rollbacksTo-- > 0) continue
      if (command === 'PREPARE' && prepares-- > 0) continue
      const error = controlError(this.#owner, command)
      this.#blemish ??= { error }
      this.#transaction.destroy('was ended by its handler')
      throw error
    }
    return answer
  }

  /** @param fatal - whether nothing may commit when it fails, and nobody is to wait for it. */
  #watch<T>(
    promise: Promise<T>,
    read: ((value: T) => T) | undefined,
    fatal: boolean = false,
  ): WatchedPromise<T> {
    const watched = new WatchedPromise<T>((resolve, reject) => {
      const settle = (): void => {
        if (fatal) this.#sending -= 1
        this.#pending.delete(watched)
        if (this.#pending.size === 0) this.#onIdle?.()
      }
      const fail = (error: unknown): void => {
        this.#doubt ??= { error }
        if (this.#transaction.repeats && isPlanLost(error)) this.#stale ??= { error }
        if (fatal) this.#blemish ??= { error }
        this.#failed.push({ promise: watched, error })
        watched.quieten()
        reject(error)
        settle()
      }
      const succeed = (value: T): void => {
        try {
          resolve(read === undefined ? value : read(value))
          settle()
        } catch (error) {
          fail(error)
        }
      }
      promise.then(succeed, fail)
    })
    if (fatal) this.#sending += 1
    this.#pending.add(watched)
    return watched
  }
}

// The tags of answers that only transaction control has.
const controls = new Set(['BEGIN', 'START', 'COMMIT', 'ROLLBACK', 'PREPARE'])
