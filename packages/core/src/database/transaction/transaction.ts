import type { Writable } from 'node:stream'
import type pg from 'pg'
import { isPlanLost, toldByServer } from '../../errors/origin.ts'
import { errorCodeOf, isRetryableConflict } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { DbBinding } from '../bound/db-binding.ts'
import { dbOn } from '../bound/db-on.ts'
import type { PreparingExecutor, QueryResult, TextRow } from '../executor.ts'
import { ownTypes } from '../given/own-types.ts'
import type { Database } from '../pool.ts'
import { queryOn } from '../sent/driver-query.ts'
import { mistrust, preparedName, trusted, unnamed } from '../sent/prepared-names.ts'
import { textRows, type Statement } from '../statement.ts'
import { cleanSession } from './session-traces.ts'

/** The isolation levels that Postgres tells apart. */
export const isolationLevels = ['read committed', 'repeatable read', 'serializable'] as const

/** One of {@link isolationLevels}. */
export type IsolationLevel = (typeof isolationLevels)[number]

/** How a transaction begins. */
export interface BeginOptions {
  readonly isolation?: IsolationLevel
  /**
   * The server ends the session when the client is silent in the transaction for this many milliseconds.
   * A process that is frozen in the middle must not keep its locks for longer than its lease.
   */
  readonly idleTimeout?: number
  /** Whether somebody else's code runs in it: its session is cleaned before it serves others. Defaults to false. */
  readonly foreign?: boolean
  /**
   * Whether nobody runs it again when a plan turns out to be older than its table: then nothing of the application's is
   * prepared in it. Defaults to false.
   */
  readonly once?: boolean
}

/**
 * How transactions of ours begin that hold what others wait for: rows of listeners and cursors, tables, partitions. They
 * wait for nothing but the server, so one that is silent for so long belongs to a process that is frozen or gone: the
 * server ends it, and nobody waits for longer.
 */
export const brief: BeginOptions & { readonly idleTimeout: number } = {
  isolation: 'read committed',
  idleTimeout: 5_000,
}

/**
 * A transaction on a connection of its own. It refuses to run anything once it has ended: a statement that
 * a forgotten promise sends late would otherwise run outside of it, on somebody else's connection.
 */
export class OpenTransaction implements PreparingExecutor {
  readonly #client: pg.PoolClient
  readonly #prepares: boolean
  /** Makes its `db`. Defaults to Kysely. */
  readonly bind: DbBinding | undefined
  /** Whether it is run again when a plan turns out to be older than its table. */
  readonly repeats: boolean
  #db: unknown
  #ended: string | undefined
  #destroyed = false
  #corked = false
  #traces: 'none' | 'some' | 'lasting' = 'none'
  /** The first statement's error that nobody may have waited for. */
  #failure: unknown
  /** The codes of all that failed; undefined stands for those without one. */
  readonly #codes = new Set<string | undefined>()

  constructor(
    client: pg.PoolClient,
    { prepares, bind }: Pick<Database, 'prepares' | 'bind'>,
    { once = false }: BeginOptions,
  ) {
    this.#client = client
    this.#prepares = prepares
    this.bind = bind
    this.repeats = !once
  }

  /** The application's `db`, bound to this transaction; made when it is first used. Kysely, unless it has another. */
  db(): unknown {
    return (this.#db ??= dbOn(this, this.bind))
  }

  /** Runs a statement of the application's, answered as its parsers have it. */
  ask(config: pg.QueryConfig): Promise<pg.QueryResult> {
    return this.#send(this.#prepares ? trusted(config) : unnamed(config))
  }

  /** Runs a statement of Tidemark's: its answer is read as {@link ownTypes} have it. */
  query(text: string, values: unknown[] = []): Promise<QueryResult> {
    return this.#send({ text, values, types: ownTypes })
  }

  /**
   * Sends a statement whose answer nobody needs: it travels with the next ones, and COMMIT waits for it. When it fails,
   * the transaction fails with its error.
   */
  send(text: string, values: unknown[] = []): void {
    // COMMIT says whether it went well.
    this.#runNamed(text, values).catch(() => {})
  }

  /** The same with a statement of the application's, and its answer. */
  sending(text: string, values: unknown[]): Promise<QueryResult> {
    return this.repeats ? this.#runNamed(text, values) : this.query(text, values)
  }

  #runNamed(text: string, values: unknown[]): Promise<QueryResult> {
    const name = this.#prepares ? preparedName(text) : undefined
    return name === undefined ? this.query(text, values) : this.run({ name, text }, values)
  }

  /** Runs a text of the application's that the server refuses when it is more than one statement. */
  queryOne(text: string, values: unknown[] = []): Promise<QueryResult> {
    const query: pg.QueryConfig & { queryMode: 'extended' } = {
      text,
      values,
      queryMode: 'extended',
    }
    return this.#send(query)
  }

  /** The error of the first statement that failed; undefined when none did. */
  get failure(): unknown {
    return this.#failure
  }

  run({ name, text }: Statement, values: unknown[]): Promise<QueryResult> {
    return this.#send(
      this.#prepares ? { name, text, values, types: ownTypes } : { text, values, types: ownTypes },
    )
  }

  async fetch(statement: Statement, values: unknown[]): Promise<readonly TextRow[]> {
    const { rows } = await this.#send(textRows(statement, values, this.#prepares))
    return rows
  }

  /** Remembers what went wrong first: every later statement only says that the transaction is aborted. */
  async #send(config: pg.QueryConfig): Promise<pg.QueryResult> {
    this.#requireOpen()
    this.cork()
    try {
      return await queryOn(this.#client, config)
    } catch (error) {
      mistrust(config, error)
      this.#failure ??= error
      this.#codes.add(errorCodeOf(toldByServer(error)))
      throw error
    }
  }

  /** Whether one of its statements failed with the code of this error. */
  failedLike(error: unknown): boolean {
    return this.#codes.has(errorCodeOf(error))
  }

  /** Cuts the connection: the server rolls back, and nothing that comes late can be written. */
  destroy(reason: string): void {
    this.#ended ??= reason
    this.#destroyed = true
    this.#stream.destroy()
  }

  /**
   * Holds back what is written until the promises that are settled by now have run, and sends it at once: BEGIN, INSERT
   * and COMMIT of a transaction that only publishes are one system call instead of three (PERFORMANCE.md).
   */
  cork(): void {
    if (this.#corked) return
    const stream = this.#stream
    this.#corked = true
    stream.cork()
    process.nextTick(() => {
      this.#corked = false
      stream.uncork()
    })
  }

  get #stream(): Writable {
    return (this.#client as unknown as { connection: { stream: Writable } }).connection.stream
  }

  /**
   * Notes that something of what ran in it may stay in its session: `'some'` can be cleaned, `'lasting'` (a prepared
   * statement) goes with the connection only.
   */
  leave(traces: 'some' | 'lasting'): void {
    if (this.#traces !== 'lasting') this.#traces = traces
  }

  get traces(): 'none' | 'some' | 'lasting' {
    return this.#traces
  }

  /** Whether its connection was cut. */
  get destroyed(): boolean {
    return this.#destroyed
  }

  /** Refuses further use. */
  end(how: string): void {
    this.#ended ??= how
  }

  #requireOpen(): void {
    if (this.#ended === undefined) return
    throw new TidemarkError('TIDEMARK_TRANSACTION_CLOSED', `the transaction ${this.#ended}`)
  }
}

/**
 * Runs `work` in a transaction and commits it. BEGIN travels with the first statement, and COMMIT with
 * `last`, so that a transaction that only inserts takes one round trip.
 *
 * @param last - sends the last statement; it is not awaited before COMMIT is sent.
 * @throws TidemarkError TIDEMARK_TRANSACTION_ABORTED when COMMIT answered ROLLBACK, because the error of a
 * statement was swallowed.
 */
export async function inTransaction<T, L = undefined>(
  database: Database,
  options: BeginOptions,
  work: (transaction: OpenTransaction) => Promise<T>,
  last?: (transaction: OpenTransaction) => Promise<L>,
): Promise<readonly [T, L | undefined]> {
  const client = await database.connect()
  const transaction = new OpenTransaction(client, database, options)
  let broken: Error | undefined
  const onError = (error: Error): void => {
    broken = error
  }
  client.on('error', onError)
  try {
    transaction.cork()
    // Not awaited: it is written at once, and an error of it makes every later statement fail too.
    const began = client.query(beginText(options))
    began.catch(() => {})
    const result = await work(transaction)
    const lastAnswer = last?.(transaction)
    lastAnswer?.catch(() => {})
    transaction.end('has been committed')
    transaction.cork()
    const committed = await client.query('COMMIT')
    if (committed.command === 'ROLLBACK') {
      await began
      await lastAnswer
      throw aborted(transaction.failure)
    }
    return [result, await lastAnswer]
  } catch (error) {
    transaction.end('has been rolled back')
    if (transaction.destroyed) broken ??= new Error('the connection was cut')
    // A plan that is older than a change of its table stays with the connection.
    if (isPlanLost(error) || isPlanLost(transaction.failure)) broken ??= error as Error
    if (broken === undefined) await client.query('ROLLBACK').catch(onError)
    // "The transaction is aborted" says nothing; what aborted it does.
    throw errorCodeOf(error) === '25P02' ? aborted(transaction.failure) : error
  } finally {
    client.off('error', onError)
    // The sessions of a given pool have settings of their own, which cleaning would take away: one that is known to have
    // traces is not given back to it.
    if (transaction.traces === 'lasting' || (transaction.traces === 'some' && !database.owned)) {
      broken ??= new Error('its session is not clean')
    }
    if (options.foreign === true && database.owned) transaction.leave('some')
    if (broken !== undefined || transaction.traces === 'none') client.release(broken)
    else void cleanAndRelease(client)
  }
}

/** Nobody waits for it: who was in the transaction knows already how it ended. */
async function cleanAndRelease(client: pg.PoolClient): Promise<void> {
  try {
    await cleanSession(client)
    client.release()
  } catch (error) {
    client.release(error as Error)
  }
}

/** What became of a transaction in which a statement failed and nobody cared; a conflict may be tried again as such. */
function aborted(failure: unknown): unknown {
  if (isRetryableConflict(failure)) return failure
  return new TidemarkError(
    'TIDEMARK_TRANSACTION_ABORTED',
    'a statement failed and its error was swallowed: Postgres rolled the transaction back',
    failure === undefined ? {} : { cause: failure },
  )
}

// Stated each time: the default of a pool of the application's may be another.
function beginText({ isolation = 'read committed', idleTimeout }: BeginOptions): string {
  const begin = `BEGIN ISOLATION LEVEL ${isolation}`
  return idleTimeout === undefined
    ? begin
    : `${begin}; SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(idleTimeout)}`
}
