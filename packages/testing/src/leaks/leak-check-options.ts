import type { ResourceCounts } from './resource-leaks.ts'

/** What was there before a test, and may therefore be there after it. */
export interface LeakBaseline {
  /** Process ids of the connections to the database. */
  readonly connections: readonly number[]
  /** How many sockets, servers and the like kept this process running. */
  readonly resources: ResourceCounts
  /** Timers started after this are the test's. */
  readonly timers: number
}

/** How `checkLeaks` looks. */
export interface LeakCheckOptions {
  /** What was there before. Defaults to nothing in the database, and to no check of the process. */
  readonly baseline?: LeakBaseline
  /**
   * How long what is being closed may take to be gone, in milliseconds: a server process ends a
   * moment after its connection. Defaults to 2,000.
   */
  readonly grace?: number
  /**
   * Connections with one of these `application_name`s are no leak: those of an application that
   * several tests share. Their locks, transactions and leases are. Defaults to none.
   */
  readonly allowedApplications?: readonly string[]
}
