import { AsyncLocalStorage } from 'node:async_hooks'
import type pg from 'pg'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { dbOn } from './bound/db-on.ts'
import type { PreparingExecutor, QueryResult, TextRow } from './executor.ts'
import { leavesTraces } from './session-traces.ts'
import type { Statement } from './statement.ts'
import { controlError, verdictOn, type Verdict } from './transaction-control.ts'
import type { OpenTransaction } from './transaction.ts'
import { WatchedPromise } from './watched-promise.ts'

const within = new AsyncLocalStorage<Guard>()

/**
 * Stands between a handler and the transaction that it works in. The handler may run any statement and have savepoints;
 * it may not end the transaction, nor run anything once it has returned. Whoever owns the transaction asks the guard
 * afterwards whether what the handler did may commit.
 */
export class Guard {
  /** What the handler is given. Its `run` and `fetch` are for Tidemark's own statements. */
  readonly executor: PreparingExecutor
  readonly #transaction: OpenTransaction
  readonly #owner: string
  readonly #onMisuse: (message: string) => void
  readonly #pending = new Map<WatchedPromise<unknown>, Promise<void>>()
  /** How many statements are under way whose answer the handler was to wait for. */
  #underWay = 0
  readonly #failed: { readonly promise: WatchedPromise<unknown>; readonly error: unknown }[] = []
  #db: unknown
  #closed = false
  #finished = false
  #blemish: { readonly error: unknown } | undefined
  #doubt: { readonly error: unknown } | undefined

  /**
   * @param owner - who works in it, for people: `the job send_email 0198…`.
   * @param onMisuse - told what a handler did that it did not mean, in words. It must not throw.
   */
  constructor(transaction: OpenTransaction, owner: string, onMisuse: (message: string) => void) {
    this.#transaction = transaction
    this.#owner = owner
    this.#onMisuse = onMisuse
    this.executor = Object.freeze({
      query: (text: string, values?: unknown[]) => this.#query(text, values),
      run: (statement: Statement, values: unknown[]) => this.#run(statement, values),
      fetch: (statement: Statement, values: unknown[]) => this.#fetch(statement, values),
      ask: (config: pg.QueryConfig) => this.#ask(config),
    })
  }

  /** The application's `db`, bound to the executor; made when it is first used. */
  db(): unknown {
    return (this.#db ??= dbOn(this.executor, this.#transaction.bind))
  }

  /** Runs the handler, or a part of it. What it starts here and leaves behind is recognised later. */
  run<T>(work: () => T): T {
    return within.run(this, work)
  }

  /** Sends a statement whose answer the handler does not wait for: when it fails, nothing commits. */
  send(text: string, values: unknown[] = []): void {
    if (!this.admits('sent a statement')) return
    const verdict = this.#check(text)
    const sent = this.#transaction.sending(text, values)
    this.#watch(sent.then((answer) => this.#read(answer, verdict))).then(undefined, (error) => {
      this.#blemish ??= { error }
    })
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
  watch<T>(work: () => Promise<T>, deed: string): Promise<T> {
    try {
      if (!this.admits(deed)) return new Promise(() => {})
      this.#underWay += 1
      return this.#watch(work(), () => (this.#underWay -= 1))
    } catch (error) {
      const refused = new WatchedPromise<T>(Promise.reject(error))
      void refused.quietly(ignore, ignore)
      return refused
    }
  }

  /** Reports what a handler that has returned has left under way: it belongs to the transaction all the same. */
  returned(): void {
    if (this.#underWay === 0) return
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
    while (this.#pending.size > 0) await Promise.all(this.#pending.values())
    this.#finished = true
    // Nobody has asked how it went: then nobody has decided that it may fail.
    const forgotten = this.#failed.find(({ promise }) => !promise.observed)
    const blemish = this.#blemish ?? forgotten
    if (blemish !== undefined) throw blemish.error
  }

  /**
   * The error of the last statement, if it failed: then the server may have given the transaction up, and will say so
   * when it is asked.
   */
  get doubt(): { readonly error: unknown } | undefined {
    return this.#doubt
  }

  #query(text: string, values?: unknown[]): Promise<QueryResult> {
    return this.watch(async () => {
      const verdict = this.#check(text)
      const answer = await (verdict.single
        ? this.#transaction.queryOne(text, values)
        : this.#transaction.query(text, values))
      return this.#read(answer, verdict)
    }, 'ran a statement')
  }

  #ask(config: pg.QueryConfig): Promise<pg.QueryResult> {
    return this.watch(async () => {
      const verdict = this.#check(config.text)
      const one = verdict.single ? { ...config, queryMode: 'extended' as const } : config
      const answer = await this.#transaction.ask(one)
      this.#read(answer, verdict)
      return answer
    }, 'ran a statement')
  }

  #run(statement: Statement, values: unknown[]): Promise<QueryResult> {
    return this.watch(async () => {
      const verdict = this.#check(statement.text)
      return this.#read(await this.#transaction.run(statement, values), verdict)
    }, 'ran a statement')
  }

  #fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]> {
    return this.watch(() => {
      this.#check(statement.text)
      return this.#transaction.fetch(statement, values)
    }, 'ran a statement')
  }

  #check(text: string): Verdict {
    const verdict = verdictOn(text)
    if (verdict.prepares > 0) this.#transaction.leave('lasting')
    else if (leavesTraces(text)) this.#transaction.leave('some')
    if (verdict.refused === undefined) return verdict
    const error = controlError(this.#owner, verdict.refused)
    // Also where the handler swallows it: it believes that something was rolled back, or committed.
    this.#blemish ??= { error }
    throw error
  }

  /** The text was harmless. If the answer is of something else the text was misread, and nothing may commit. */
  #read(answer: QueryResult | readonly QueryResult[], verdict: Verdict): QueryResult {
    this.#doubt = undefined
    const answers = Array.isArray(answer)
      ? (answer as readonly QueryResult[])
      : [answer as QueryResult]
    let { rollbacksTo, prepares } = verdict
    for (const { command } of answers) {
      const allowed =
        command === 'ROLLBACK'
          ? rollbacksTo-- > 0
          : command === 'PREPARE'
            ? prepares-- > 0
            : command !== 'BEGIN' && command !== 'START' && command !== 'COMMIT'
      if (allowed) continue
      const error = controlError(this.#owner, String(command))
      this.#blemish ??= { error }
      this.#transaction.destroy('was ended by its handler')
      throw error
    }
    return answer as QueryResult
  }

  #watch<T>(promise: Promise<T>, ended: () => void = ignore): WatchedPromise<T> {
    const watched = new WatchedPromise<T>(promise)
    const noted = watched.quietly(
      () => {
        ended()
        this.#pending.delete(watched)
      },
      (error) => {
        ended()
        this.#pending.delete(watched)
        this.#doubt ??= { error }
        if (!watched.observed) this.#failed.push({ promise: watched, error })
      },
    )
    this.#pending.set(watched, noted)
    return watched
  }
}

function ignore(): void {
  // Whoever got the promise has its rejection; this only keeps Node from taking it for forgotten.
}
