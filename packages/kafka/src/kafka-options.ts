import type { ConnectionOptions as TlsOptions } from 'node:tls'

/** A text, or what is asked for it at each connect: a token that is valid for minutes. */
export type KafkaCredential = string | (() => string | Promise<string>)

/** Who connects. */
export interface KafkaSasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512' | 'OAUTHBEARER'
  readonly username?: KafkaCredential
  readonly password?: KafkaCredential
  /** Of `'OAUTHBEARER'`. */
  readonly token?: KafkaCredential
}

/**
 * How a broker is connected to: a part of what @platformatic/kafka takes, said here because its own types need others that
 * it does not install.
 */
export interface KafkaConnect {
  /** In milliseconds. Defaults to 5,000. */
  readonly connectTimeout?: number
  /** In milliseconds. Defaults to 30,000. */
  readonly requestTimeout?: number
  /** Defaults to none: in plain. */
  readonly tls?: TlsOptions
  /** The name that is asked for by SNI; true: the broker's host. */
  readonly tlsServerName?: string | boolean
  /** Defaults to nobody. */
  readonly sasl?: KafkaSasl
}

/** How messages are compressed. */
export type KafkaCompression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/** How a topic is made when there is none. */
export interface TopicOptions {
  /** Defaults to 1. */
  readonly partitions?: number
  /** How many brokers keep each message. Defaults to the broker's own default. */
  readonly replicas?: number
  /** Settings of the topic by Kafka's names, for instance `{ 'min.insync.replicas': '2' }`. */
  readonly configs?: Readonly<Record<string, string>>
}

/**
 * Where a message has what CloudEvents 1.0 says of it: in headers beside the payload (`'binary'`), or in one JSON
 * document with the payload (`'structured'`).
 */
export type CloudEventMode = 'binary' | 'structured'
