import {
  apiVersionsV3,
  ConnectionPool,
  findCoordinatorV4,
  metadataV12,
  type Broker,
  type Connection,
  type ConnectionOptions,
} from '@platformatic/kafka'
import { TidemarkError } from 'tidemark'
import { abortable } from './abortable.ts'
import { answered } from './broker-error.ts'

/** Where a cluster is, and how to connect. */
export interface ClusterOptions {
  readonly clientId: string
  /** `host:port` of some of its brokers. */
  readonly brokers: readonly string[]
  readonly connect: ConnectionOptions
}

/** A topic as the cluster describes it. */
export interface Topic {
  readonly name: string
  /** Another topic of the same name has another. */
  readonly id: string
  /** Of each partition its leader, and how many replicas it has. */
  readonly partitions: readonly { readonly leader: number; readonly replicas: number }[]
}

// What this package speaks: each is understood by every broker from Kafka 3.1 to 4.
const spoken: Readonly<Record<string, number>> = {
  Produce: 9,
  Fetch: 13,
  ListOffsets: 7,
  Metadata: 12,
  FindCoordinator: 4,
  InitProducerId: 4,
  AddPartitionsToTxn: 3,
  EndTxn: 3,
}

const transactions = 1

/**
 * Connections to a cluster for one use of it. Nothing is tried again and nothing is remembered beyond what `topic` was
 * told: whoever gets an error closes it, and looks at everything anew with another.
 */
export class Cluster {
  readonly #pool: ConnectionPool
  readonly #bootstrap: Broker[]
  #brokers: ReadonlyMap<number, Broker> = new Map()

  private constructor({ clientId, brokers, connect }: ClusterOptions) {
    this.#pool = new ConnectionPool(clientId, { requestTimeout: 30_000, ...connect })
    this.#bootstrap = brokers.map(addressOf)
  }

  static async open(options: ClusterOptions, signal: AbortSignal): Promise<Cluster> {
    const cluster = new Cluster(options)
    try {
      const { apiKeys } = await abortable(
        apiVersionsV3.api.async(await cluster.any(signal), options.clientId, '1'),
        signal,
      )
      for (const [name, version] of Object.entries(spoken)) {
        const known = apiKeys.find((api) => api.name === name)
        if (known === undefined || known.minVersion > version || known.maxVersion < version) {
          throw tooOld(options.brokers, name, version)
        }
      }
      return cluster
    } catch (error) {
      await cluster.close()
      throw error
    }
  }

  /** A connection to whichever broker answers. */
  async any(signal: AbortSignal): Promise<Connection> {
    return abortable(
      this.#pool.getFirstAvailable([...this.#bootstrap, ...this.#brokers.values()]),
      signal,
    )
  }

  /** A connection to one broker. */
  async broker(node: number, signal: AbortSignal): Promise<Connection> {
    const broker = this.#brokers.get(node)
    if (broker === undefined) throw new Error(`the cluster has no broker ${node} at the moment`)
    return abortable(this.#pool.get(broker), signal)
  }

  /** A connection to the broker that decides about a transactional id. */
  async coordinator(transactionalId: string, signal: AbortSignal): Promise<Connection> {
    const { coordinators } = await abortable(
      findCoordinatorV4.api.async(await this.any(signal), transactions, [transactionalId]),
      signal,
    )
    const [found] = coordinators
    if (found === undefined) throw new Error(`nobody coordinates ${transactionalId}`)
    return abortable(this.#pool.get({ host: found.host, port: found.port }), signal)
  }

  /**
   * Describes a topic.
   *
   * @returns undefined when there is none.
   */
  async topic(name: string, signal: AbortSignal): Promise<Topic | undefined> {
    try {
      const { brokers, topics } = await abortable(
        metadataV12.api.async(await this.any(signal), [name], false, false),
        signal,
      )
      this.#brokers = new Map(brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
      const [found] = topics
      if (found === undefined) return undefined
      const partitions = found.partitions
        .toSorted((a, b) => a.partitionIndex - b.partitionIndex)
        .map(({ leaderId, replicaNodes }) => ({ leader: leaderId, replicas: replicaNodes.length }))
      return { name, id: found.topicId, partitions }
    } catch (error) {
      if (answered(error, 'unknownTopic')) return undefined
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}

/** Reads `host:port`; a port alone may be left out. */
export function addressOf(address: string): Broker {
  const { host, port } =
    /^(?<host>\[[^\]]+\]|[^:]+)(?::(?<port>\d+))?$/u.exec(address)?.groups ?? {}
  if (host === undefined) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `kafka: ${JSON.stringify(address)} is no broker`,
      { hint: 'Name each as "host:port", for instance "localhost:9092".' },
    )
  }
  return { host: host.replaceAll(/^\[|\]$/gu, ''), port: Number(port ?? 9092) }
}

function tooOld(brokers: readonly string[], api: string, version: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BROKER_UNAVAILABLE',
    `the brokers ${brokers.join(', ')} do not speak version ${version} of ${api}`,
    { hint: 'They must be those of Kafka 3.1 or newer.', details: { api, version } },
  )
}
