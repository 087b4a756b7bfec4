import { setTimeout as delay } from 'node:timers/promises'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { freePort } from '../support/free-port.ts'
import { NatsServer } from './nats-server.ts'

/** Three servers that hold each stream three times. */
export class NatsCluster implements AsyncDisposable {
  readonly nodes: readonly NatsServer[]

  private constructor(nodes: readonly NatsServer[]) {
    this.nodes = nodes
  }

  static async start(): Promise<NatsCluster> {
    const ports = await Promise.all([freePort(), freePort(), freePort()])
    const routes = ports.map((port) => `nats://127.0.0.1:${port}`)
    const nodes = await Promise.all(
      ports.map((_, index) =>
        NatsServer.start(
          `--name n${index} --cluster_name test --cluster ${routes[index]} --routes ${routes.join(',')}`.split(
            ' ',
          ),
        ),
      ),
    )
    const cluster = new NatsCluster(nodes)
    await cluster.#settled()
    return cluster
  }

  get servers(): string[] {
    return this.nodes.map(({ servers }) => servers)
  }

  /** Makes another node the leader of a stream. */
  async deposeLeader(stream: string): Promise<void> {
    const connection = await connect({ servers: this.servers, reconnect: false, timeout: 2_000 })
    try {
      // It answers when there is a leader; while there is none, it has been deposed already.
      await connection
        .request(`$JS.API.STREAM.LEADER.STEPDOWN.${stream}`, '', { timeout: 2_000 })
        .catch(() => {})
    } finally {
      await connection.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()))
  }

  /** Waits until the nodes have found each other and JetStream has a leader. */
  async #settled(): Promise<void> {
    for (const deadline = Date.now() + 60_000; ;) {
      const connection = await connect({ servers: this.servers, reconnect: false })
      try {
        const manager = await jetstreamManager(connection, { checkAPI: false })
        // Only with all of its members there can it place three replicas.
        await manager.streams.add({ name: 'READY', subjects: ['ready'], num_replicas: 3 })
        await manager.streams.delete('READY')
        return
      } catch (error) {
        if (Date.now() > deadline) throw error
        await delay(200)
      } finally {
        await connection.close()
      }
    }
  }
}
