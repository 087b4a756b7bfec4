import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { connect, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node'
import pg from 'pg'

/** A message as a relay has sent it. */
export interface BareMessage {
  readonly subject: string
  readonly data: Uint8Array
  readonly headers: MsgHdrs
}

// As many as a relay has on their way.
const window = 5_000
const batchSize = 500

/** A stream without Tidemark: what the client and the driver reach alone. */
export class BareStream implements AsyncDisposable {
  readonly #connection: NatsConnection

  private constructor(connection: NatsConnection) {
    this.#connection = connection
  }

  static async connect(servers: string): Promise<BareStream> {
    return new BareStream(await connect({ servers }))
  }

  /** What a stream holds. */
  async read(stream: string, count: number): Promise<BareMessage[]> {
    const messages: BareMessage[] = []
    if (count === 0) return messages
    const consumer = await jetstream(this.#connection).consumers.get(stream)
    for await (const { subject, data, headers } of await consumer.consume({
      max_messages: window,
    })) {
      messages.push({ subject, data, headers: headers as MsgHdrs })
      if (messages.length === count) break
    }
    return messages
  }

  /** How many messages a stream was given: none when there is no such stream. */
  async count(stream: string): Promise<number> {
    try {
      const manager = await jetstreamManager(this.#connection)
      return (await manager.streams.info(stream)).state.last_seq
    } catch {
      return 0
    }
  }

  /** Messages a second by the server's clock: from when it stored the first until it stored the last. */
  async rate(stream: string): Promise<number> {
    const { state } = await (await jetstreamManager(this.#connection)).streams.info(stream)
    return ((state.messages - 1) * 1000) / (Date.parse(state.last_ts) - Date.parse(state.first_ts))
  }

  async delete(stream: string): Promise<void> {
    await (await jetstreamManager(this.#connection)).streams.delete(stream)
  }

  /** Publishes as the client does, and waits for the acknowledgements of each window. */
  async publish(stream: string, subjects: string, messages: readonly BareMessage[]): Promise<void> {
    const manager = await jetstreamManager(this.#connection)
    await manager.streams.add({ name: stream, subjects: [subjects] })
    const client = jetstream(this.#connection)
    for (let from = 0; from < messages.length; from += window) {
      const sent = messages
        .slice(from, from + window)
        .map(({ subject, data, headers }) => client.publish(subject, data, { headers }))
      await Promise.all(sent)
    }
  }

  /**
   * Consumes a stream into a plain table, a transaction for each batch.
   *
   * @returns messages a second, from the first commit to the last.
   */
  async consume(stream: string, count: number, url: string): Promise<number> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      await client.query(
        'CREATE TABLE consumed (id text, type text, key text, payload jsonb, headers jsonb)',
      )
      await client.query('CREATE TABLE place (position bigint)')
      await client.query('INSERT INTO place VALUES (0)')
      const consumer = await jetstream(this.#connection).consumers.get(stream)
      const messages = await consumer.consume({ max_messages: 2_000 })
      let batch: { subject: string; headers: MsgHdrs; text: string }[] = []
      let done = 0
      let started = 0
      for await (const message of messages) {
        batch.push({
          subject: message.subject,
          headers: message.headers as MsgHdrs,
          text: message.string(),
        })
        if (batch.length < batchSize && done + batch.length < count) continue
        await writeBatch(client, batch, message.seq)
        if (done === 0) started = performance.now()
        done += batch.length
        batch = []
        if (done === count) break
      }
      return ((count - batchSize) * 1000) / (performance.now() - started)
    } finally {
      await client.end()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close()
  }
}

async function writeBatch(
  client: pg.Client,
  batch: readonly { subject: string; headers: MsgHdrs; text: string }[],
  position: number,
): Promise<void> {
  await client.query('BEGIN')
  await client.query({
    name: 'consume',
    text: `INSERT INTO consumed SELECT * FROM
      unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::jsonb[])`,
    values: [
      batch.map(({ headers }) => headers.get('ce-id')),
      batch.map(({ headers }) => headers.get('ce-type')),
      batch.map(({ headers }) => headers.get('ce-partitionkey')),
      batch.map(({ text }) => text),
      batch.map(({ headers }) => JSON.stringify({ source: headers.get('ce-source') })),
    ],
  })
  await client.query('UPDATE place SET position = $1', [position])
  await client.query('COMMIT')
}
