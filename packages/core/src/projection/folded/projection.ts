import { storedTypesOf, type EventDefinition } from '../../event/define-event.ts'
import { milliseconds } from '../../listener/declared/backoff.ts'
import { failureHandling, type FailureHandling } from '../../listener/declared/failure-policy.ts'
import type { ListenerOptions } from '../../listener/defined/define-listener.ts'

/** What all projections have in common. */
export interface ProjectionOptions extends Omit<ListenerOptions, 'startFrom' | 'partitions'> {
  /** Raise it when the handlers change what they make of the same events. Starts at 1. */
  readonly version: number
  /**
   * `'async'`: behind the publishers, in batches. `'inline'`: in each publisher's own transaction, so that what is
   * read is never behind; publishers then wait for each other at the projection. Defaults to `'async'`.
   */
  readonly mode?: 'async' | 'inline'
  /**
   * The most events a second that a rebuild handles, so that the database can do other things. It must be more than are
   * published, or the rebuild never catches up. Defaults to no limit.
   */
  readonly rebuildRate?: number
}

/** The definition of a projection: what every kind of it answers to the runner. */
export abstract class Projection<H> {
  readonly kind = 'projection'
  readonly startFrom = 'beginning'
  readonly name: string
  readonly aliases: readonly string[]
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly partitions: number
  readonly batchSize: number
  readonly failure: FailureHandling
  readonly handlerTimeout: number
  readonly rebuildRate: number
  readonly handlers: ReadonlyMap<EventDefinition, H>

  constructor(
    name: string,
    options: ProjectionOptions & { readonly partitions?: number },
    batchSize: number,
    handlers: ReadonlyMap<EventDefinition, H>,
  ) {
    this.name = name
    this.aliases = Object.freeze([...(options.aliases ?? [])])
    this.mode = options.mode ?? 'async'
    this.version = options.version
    this.partitions = options.partitions ?? 1
    this.batchSize = options.batchSize ?? batchSize
    this.failure = failureHandling(name, options)
    this.handlerTimeout = milliseconds(options.handlerTimeout ?? '30s')
    this.rebuildRate = options.rebuildRate ?? Number.POSITIVE_INFINITY
    this.handlers = handlers
  }

  get events(): readonly EventDefinition[] {
    return [...this.handlers.keys()]
  }

  get types(): ReadonlySet<string> {
    return storedTypesOf(this.events)
  }
}
