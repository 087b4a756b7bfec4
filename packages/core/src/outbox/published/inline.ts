import type { Executor, PreparingExecutor } from '../../database/executor.ts'
import type { StoredEvent } from '../../event/stored-event.ts'

/**
 * What runs in the publisher's own transaction. The outbox knows it by this interface only; inline projections
 * implement it.
 */
export interface InlineConsumers {
  /** Whether any of them handles events of this type. */
  handles(type: string): boolean
  /**
   * Takes the locks of those that handle these types, before the events draw their sequences.
   *
   * INVARIANT: the lock is held from before the draw until commit, so that inline consumers see events in the
   * order of their sequences.
   */
  lock(executor: Executor | PreparingExecutor, types: ReadonlySet<string>): Promise<InlineTurn>
}

/** The turn of one publishing transaction. */
export interface InlineTurn {
  /** Applies the next of its events; they come in the order of their sequences. */
  apply(events: readonly StoredEvent[]): Promise<void>
  /** Resolves when the server has answered all that it has sent; rejects with the first error. */
  settled(): Promise<unknown>
}
