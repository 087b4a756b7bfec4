/** Where a service finds what it needs. */
export interface Addresses {
  /** A connection string of Postgres: each service has a server of its own. */
  readonly database: string
  readonly nats: string
}
