import type { PostgresServer } from '@tidemark/testing'
import type pg from 'pg'
import type { App } from 'tidemark'
import type { Random } from '../random.ts'
import type { Worker } from '../worker-pool.ts'

/** What faults are played on. */
export interface Stage {
  readonly random: Random
  readonly server: PostgresServer
  readonly url: string
  /** Connections of an operator. */
  readonly pool: pg.Pool
  /** The application and the other install, as an operator has them. */
  readonly app: App
  readonly second: App
  /** Milliseconds. */
  readonly leaseDuration: number
  /** The workers that run now. */
  readonly workers: Worker[]
  /** The release that is deployed. */
  release: number
  /** Starts a worker of a release (the one that is deployed), and waits until it runs. */
  readonly startWorker: (release?: number, safetyPoll?: number) => Promise<Worker>
  /** Lets no publisher publish meanwhile. */
  readonly inQuiet: (work: () => Promise<void>) => Promise<void>
  /** Spawns so many jobs in one transaction. */
  readonly spawnMany: (kind: 'settle' | 'wander', count: number) => Promise<void>
  /** Publishes an event, and requires that everything handles it within so many milliseconds. */
  readonly requireProgress: (promise: string, bound: number) => Promise<void>
  /** Notes something that was found and must not be. */
  readonly violate: (promise: string, evidence: unknown) => void
  /** Opens a connection that no pool knows of; the stage ends it at the latest. */
  readonly connect: () => Promise<pg.Client>
}

/** A kind of fault. */
export interface FaultKind {
  readonly name: string
  /** Milliseconds from the end of the fault until everything must go on, on a machine that has other things to do. */
  readonly bound: number
  /** Whether it can be played here; without it, it always can. */
  readonly possible?: () => boolean
  /** Plays it from its beginning to its end. */
  readonly play: (stage: Stage) => Promise<void>
}
