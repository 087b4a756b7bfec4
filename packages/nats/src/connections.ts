import { connect, type NatsConnection } from '@nats-io/transport-node'
import type { JetStreamOptions } from './jetstream.ts'

/**
 * The connection of a stream, shared by whatever has it open and closed after the last. It does not reconnect by
 * itself: a relay must look at the stream's tip after every loss, so a lost connection is a new one.
 */
export class Connections {
  readonly #options: Pick<JetStreamOptions, 'connect' | 'connection'>
  #shared: { readonly made: Promise<NatsConnection>; users: number } | undefined

  constructor(options: Pick<JetStreamOptions, 'connect' | 'connection'>) {
    this.#options = options
  }

  async acquire(signal: AbortSignal): Promise<NatsConnection> {
    const { connection, connect: options } = this.#options
    if (typeof connection === 'function') return connection()
    if (connection !== undefined) return connection
    signal.throwIfAborted()
    this.#shared ??= { made: connect({ ...options, reconnect: false }), users: 0 }
    const shared = this.#shared
    shared.users += 1
    try {
      const made = await shared.made
      if (!made.isClosed()) return made
      // Whoever used it finds out by itself; the next one gets a new one.
      if (this.#shared === shared) this.#shared = undefined
      return await this.acquire(signal)
    } catch (error) {
      if (this.#shared === shared) this.#shared = undefined
      throw error
    }
  }

  async release(connection: NatsConnection): Promise<void> {
    const shared = this.#shared
    if (shared === undefined || this.#options.connection !== undefined) return
    if ((await shared.made) !== connection) {
      await connection.close()
      return
    }
    shared.users -= 1
    if (shared.users > 0) return
    if (this.#shared === shared) this.#shared = undefined
    await connection.close()
  }
}
