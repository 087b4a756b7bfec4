import { createServer, type Server, type Socket } from 'node:net'
import {
  isTidemarkError,
  rejectUnknownOptions,
  stderrLogger,
  TidemarkError,
  type Logger,
} from 'tidemark'
import type { StateStore } from '../../contract/state-store.ts'
import { invalid, requireText, requireWhole } from '../../opened/checked.ts'
import { errorLine } from '../protocol/answer.ts'
import { Connection } from './connection.ts'
import { limitNames, limitsOf, type ServiceLimits } from './limits.ts'
import { Operations } from './operations.ts'
import { SocketFile } from './socket-file.ts'

/** What is served, and where. */
export interface StateServiceOptions extends Partial<ServiceLimits> {
  /** The store. It is not closed. */
  readonly store: StateStore
  /** The path of the socket, in a folder that exists; at most 100 bytes. */
  readonly socket: string
  /** How often the store is swept, in milliseconds. Defaults to 60,000. */
  readonly sweepEvery?: number
  /** Defaults to warnings and errors on stderr. */
  readonly logger?: Logger
}

/** A state service that runs. */
export interface StateService extends AsyncDisposable {
  readonly socket: string
  /** How many clients there are. */
  readonly clients: number
  /**
   * Takes no more clients and requests, answers those under way, and ends.
   *
   * @param timeout - after how many milliseconds clients are sent away that do not read their answers. Defaults to 5,000.
   */
  stop(timeout?: number): Promise<void>
}

// How often it looks for clients that have stalled, in milliseconds, at most.
const lookEvery = 1_000
// An answer holds what several requests have written.
const answerFactor = 8

/**
 * Serves a store over a Unix socket, one JSON message a line. docs/state-service.md has the protocol.
 *
 * @throws TidemarkError TIDEMARK_STATE_SOCKET_UNUSABLE or TIDEMARK_INVALID_OPTION.
 *
 * @example
 * ```ts
 * import { memoryStore } from '@tidemark/stores/memory'
 * import { serveState } from '@tidemark/stores/service'
 *
 * await using service = await serveState({ store: memoryStore(), socket: '/run/app/state.sock' })
 * console.log(service.socket)
 * ```
 */
export async function serveState(options: StateServiceOptions): Promise<StateService> {
  const own = ['store', 'socket', 'sweepEvery', 'logger'] as const
  rejectUnknownOptions('serveState', options, [...own, ...limitNames])
  const { store, socket, sweepEvery = 60_000, logger = stderrLogger, ...limits } = options
  if (typeof store?.getMany !== 'function') {
    throw invalid('serveState', 'store', 'is no store of states')
  }
  requireText('serveState', 'socket', socket, 4_096)
  requireWhole('serveState', 'sweepEvery', sweepEvery, 1, 86_400_000)
  const service = new Service(store, limitsOf('serveState', limits), logger)
  await service.listen(socket, sweepEvery)
  return service
}

class Service implements StateService {
  readonly #store: StateStore
  readonly #limits: ServiceLimits
  readonly #logger: Logger
  readonly #operations: Operations
  readonly #server: Server
  readonly #connections = new Set<Connection>()
  readonly #timers: NodeJS.Timeout[] = []
  #file: SocketFile | undefined
  #sweeping: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  constructor(store: StateStore, limits: ServiceLimits, logger: Logger) {
    this.#store = store
    this.#limits = limits
    this.#logger = logger
    this.#operations = new Operations(store, limits.lineBytes * answerFactor)
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#welcome(socket))
  }

  get socket(): string {
    return this.#file?.path ?? ''
  }

  get clients(): number {
    return this.#connections.size
  }

  async listen(path: string, sweepEvery: number): Promise<void> {
    this.#file = await SocketFile.listen(this.#server, path)
    // Out of file descriptors, for instance: those that are there go on.
    this.#server.on('error', (error) => {
      this.#logger.warn({ err: error }, 'the state service cannot take a client')
    })
    const look = Math.min(lookEvery, this.#limits.stallTimeout)
    this.#timers.push(
      setInterval(() => {
        const now = performance.now()
        for (const connection of this.#connections) connection.check(now)
      }, look),
      setInterval(() => void (this.#sweeping ??= this.#sweep()), sweepEvery),
    )
  }

  stop(timeout = 5_000): Promise<void> {
    return (this.#stopped ??= this.#stop(timeout))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(timeout: number): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const connection of this.#connections) connection.finish()
    await this.#file?.remove()
    const late = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy()
    }, timeout)
    await closed
    clearTimeout(late)
    await this.#sweeping
  }

  #welcome(socket: Socket): void {
    if (this.#connections.size >= this.#limits.clients) {
      socket.on('error', () => {})
      const problem = `the state service has ${this.#limits.clients} clients already`
      const refused = new TidemarkError('TIDEMARK_STORE_UNAVAILABLE', problem)
      socket.end(errorLine(null, refused), () => socket.destroy())
      return
    }
    const connection = new Connection(
      socket,
      async (id, request) => {
        try {
          return await this.#operations.answer(id, request)
        } catch (error) {
          if (!isTidemarkError(error)) {
            this.#logger.warn({ op: request.op, err: error }, 'a request could not be carried out')
          }
          throw error
        }
      },
      this.#limits,
    )
    this.#connections.add(connection)
    void connection.closed.then(() => this.#connections.delete(connection))
  }

  async #sweep(): Promise<void> {
    try {
      while ((await this.#store.sweep()) > 0 && this.#stopped === undefined);
    } catch (error) {
      this.#logger.warn({ err: error }, 'the store could not be swept')
    } finally {
      this.#sweeping = undefined
    }
  }
}
