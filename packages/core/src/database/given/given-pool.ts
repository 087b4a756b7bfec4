import type pg from 'pg'
import { isConnectionError, isStalePlan } from '../../errors/postgres-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { queryOn } from '../sent/driver-query.ts'
import { speakPlainly } from './plain-session.ts'

/** A pool that an application has already, of node-postgres: what it gives is given back. */
export interface PoolLike {
  connect(): Promise<pg.PoolClient>
}

/** Where connections come from: a pool, or a function that gives one at each call. Its `release` gives it back. */
export type ConnectionSource = PoolLike | (() => Promise<pg.PoolClient>)

/** What a database is reached by. */
export interface ConnectionPool {
  /** The most connections that are used at once. */
  readonly most: number
  /** How many wait for one at this moment. */
  readonly waiting: number
  connect(): Promise<pg.PoolClient>
  query(config: pg.QueryConfig): Promise<pg.QueryResult>
  end(): Promise<void>
}

/** What whoever uses connections is told that were given up with their application. */
export function closed(): TidemarkError {
  return new TidemarkError('TIDEMARK_CLOSED', 'the application is closed')
}

/** The part of an application's pool that Tidemark uses at once. It is not Tidemark's to close. */
export class GivenPool implements ConnectionPool {
  readonly most: number
  readonly #source: ConnectionSource
  readonly #patience: number
  readonly #queue: (() => void)[] = []
  #used = 0
  #ended = false

  /** @param patience - how long to wait for a connection, in milliseconds. */
  constructor(source: ConnectionSource, most: number, patience: number) {
    this.#source = source
    this.most = Math.min(most, sizeOf(source))
    this.#patience = patience
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** @throws TidemarkError TIDEMARK_NO_CONNECTION when none becomes free in time, TIDEMARK_CLOSED. */
  async connect(): Promise<pg.PoolClient> {
    if (this.#ended) throw closed()
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      const message = `none of the ${this.most} connections that may be used of the given pool became free within ${this.#patience} ms`
      const error = new TidemarkError('TIDEMARK_NO_CONNECTION', message, {
        details: { max: this.most, waiting: this.#queue.length },
      })
      late.reject(error)
    }, this.#patience)
    const taking = this.#take()
    try {
      return await Promise.race([taking, late.promise])
    } catch (error) {
      // One that comes too late goes back; what it says instead of coming has no reader any more.
      taking.then(
        (client) => client.release(),
        () => {},
      )
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  async query(config: pg.QueryConfig): Promise<pg.QueryResult> {
    const client = await this.connect()
    let broken: Error | undefined
    try {
      return await queryOn(client, config)
    } catch (error) {
      if (isConnectionError(error) || isStalePlan(error)) broken = error as Error
      throw error
    } finally {
      client.release(broken)
    }
  }

  async end(): Promise<void> {
    this.#ended = true
  }

  async #take(): Promise<pg.PoolClient> {
    if (this.#used < this.most) this.#used += 1
    else await new Promise<void>((resolve) => this.#queue.push(resolve))
    try {
      const client = await (typeof this.#source === 'function'
        ? this.#source()
        : this.#source.connect())
      return await this.#lend(client)
    } catch (error) {
      this.#free()
      throw error
    }
  }

  async #lend(client: pg.PoolClient): Promise<pg.PoolClient> {
    requireSocket(client)
    // What the type definitions do not have. Its owner has it back as it was.
    const { pipeline, binary } = client as pg.PoolClient & { pipeline?: boolean; binary?: boolean }
    const theirs = { pipeline, binary }
    // Answers are read as texts.
    Object.assign(client, { pipeline: true, binary: false })
    // INVARIANT: a client has a listener as long as it is used: an `error` that nobody hears ends the process.
    client.on('error', heard)
    const release = client.release.bind(client)
    let restore: string | undefined
    try {
      restore = await speakPlainly(client)
    } catch (error) {
      Object.assign(client, theirs)
      release(error as Error)
      client.off('error', heard)
      throw error
    }
    let lent = true
    client.release = (error) => {
      if (!lent) return
      lent = false
      // Sent before whatever its owner sends next; when it fails, so does that.
      if (restore !== undefined && error === undefined) void send(client, restore)
      Object.assign(client, theirs)
      release(error)
      client.off('error', heard)
      this.#free()
    }
    return client
  }

  #free(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#used -= 1
    else next()
  }
}

/** How many connections a pool has at the most; unknown of anything else. */
export function sizeOf(source: ConnectionSource): number {
  const max = (source as { options?: { max?: unknown } }).options?.max
  return typeof max === 'number' ? max : Number.POSITIVE_INFINITY
}

/** How a pool reaches the database, for connections besides it; undefined when it does not say. */
export function configOf(source: ConnectionSource | undefined): pg.ClientConfig | undefined {
  const options = (source as { options?: pg.PoolConfig } | undefined)?.options
  if (options === undefined) return undefined
  const { connectionString, host, port, user, database, ssl } = options
  // The password is not among what can be listed.
  const { password, options: settings } = options as pg.ClientConfig
  const config = { connectionString, host, port, user, database, ssl, password, options: settings }
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION when what is sent cannot be held back, and cut off. */
function requireSocket(client: pg.PoolClient): void {
  const { connection } = client as { connection?: { stream?: { cork?: unknown } } }
  if (typeof connection?.stream?.cork === 'function') return
  client.release()
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    'the clients of the given pool have no socket: they are not those of node-postgres',
    { hint: 'Give a `Pool` of `pg`, not of `pg.native` or of a driver that goes by other ways.' },
  )
}

async function send(client: pg.ClientBase, text: string): Promise<void> {
  try {
    await client.query(text)
  } catch {
    // The connection is gone: its owner learns of it by what it sends next.
  }
}

function heard(): void {
  // The statement under way fails, or the next one does.
}
