import type { Database } from '../database/pool.ts'
import { closest, rejectUnknownOptions } from '../errors/options.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { EventRegistry } from '../event/registry.ts'
import type { Consumer } from '../listener/read/consumer.ts'
import { Relay } from './define-relay.ts'
import { tipOf } from './target.ts'
import { verifyRelay, type RelayVerification, type VerifyOptions } from './verify.ts'

/** Looking at relays beyond what is shown of every listener. */
export class RelayAdmin {
  readonly #database: Database
  readonly #schema: string
  readonly #registry: EventRegistry
  readonly #relays: ReadonlyMap<string, Relay>

  constructor(
    database: Database,
    schema: string,
    registry: EventRegistry,
    consumers: Iterable<Consumer>,
  ) {
    this.#database = database
    this.#schema = schema
    this.#registry = registry
    const relays = [...consumers].filter((consumer) => consumer instanceof Relay)
    this.#relays = new Map(relays.map((relay) => [relay.name, relay]))
  }

  /**
   * Compares what a relay's stream holds with the outbox, and names the first difference.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER when this application defines no such relay;
   * TIDEMARK_BROKER_UNAVAILABLE.
   */
  async verify(name: string, options: VerifyOptions = {}): Promise<RelayVerification> {
    rejectUnknownOptions('relays.verify', options, ['onProgress', 'signal'])
    const environment = {
      database: this.#database,
      schema: this.#schema,
      registry: this.#registry,
    }
    return verifyRelay(environment, this.#require(name), options)
  }

  /**
   * Makes the stream of a relay, if there is none.
   *
   * @returns the name of the stream, and what it holds.
   * @throws TidemarkError as `verify`.
   */
  async setUp(
    name: string,
    signal: AbortSignal = AbortSignal.timeout(10_000),
  ): Promise<{ readonly stream: string; readonly created: string; readonly messages: bigint }> {
    const { target } = this.#require(name)
    const { created, position } = await tipOf(target, signal)
    return { stream: target.stream, created, messages: position }
  }

  #require(name: string): Relay {
    const relay = this.#relays.get(name)
    if (relay !== undefined) return relay
    const meant = closest(name, [...this.#relays.keys()])
    throw new TidemarkError(
      'TIDEMARK_UNKNOWN_LISTENER',
      `this application has no relay "${name}"`,
      {
        hint:
          meant === undefined ? 'Add its definition to the modules.' : `Did you mean "${meant}"?`,
        details: { name },
      },
    )
  }
}
