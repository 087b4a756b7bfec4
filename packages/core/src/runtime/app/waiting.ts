import type { Database } from '../../database/pool.ts'
import { requireText } from '../../errors/checked-text.ts'
import { requireSequence } from '../../errors/checked-values.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { CursorSignals } from '../../listener/leased/cursor-signals.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import {
  checkWaitOptions,
  waitForCursors,
  type WaitOptions,
} from '../../listener/steered/wait-for.ts'
import type { ListenerReference } from './transaction.ts'

/** What waits are made with. */
export interface WaitingEnvironment {
  readonly database: Database
  readonly schema: string
  readonly signals: CursorSignals
  /** The listeners and projections of the application, by name. */
  readonly consumers: ReadonlyMap<string, Consumer>
}

/** Waiting until listeners and projections, by whatever name they are called, have handled an event. */
export class Waiting {
  readonly #environment: WaitingEnvironment

  constructor(environment: WaitingEnvironment) {
    this.#environment = environment
  }

  async waitFor(
    listeners: ListenerReference | readonly ListenerReference[],
    sequence: EventSequence | null,
    options: WaitOptions,
  ): Promise<boolean> {
    checkWaitOptions('waitFor', options)
    if (sequence !== null) requireSequence('waitFor', 'sequence', sequence)
    const { database, schema, signals } = this.#environment
    const names = this.#pending(listeners)
    if (sequence === null || names.length === 0) return true
    return waitForCursors(database, schema, signals, names, sequence, options)
  }

  /** What fails here does not undo the transaction, and must not look as if it did. */
  async afterCommit(
    listeners: ListenerReference | readonly ListenerReference[],
    sequence: EventSequence | null,
    options: WaitOptions,
  ): Promise<boolean> {
    try {
      return await this.waitFor(listeners, sequence, options)
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      const reason = error.message.replace(`${error.code}: `, '')
      throw new TidemarkError(error.code, `the transaction has committed, but ${reason}`, {
        details: { ...error.details, committed: true },
        cause: error,
      })
    }
  }

  /** By their present names; without those that are inline, which nobody needs to wait for. */
  #pending(listeners: ListenerReference | readonly ListenerReference[]): string[] {
    const { consumers } = this.#environment
    const all = [...consumers.values()]
    return namesOf(listeners)
      .map((name) => all.find(({ aliases }) => aliases?.includes(name))?.name ?? name)
      .filter((name) => consumers.get(name)?.mode !== 'inline')
  }
}

function namesOf(listeners: ListenerReference | readonly ListenerReference[]): string[] {
  const list = Array.isArray(listeners)
    ? (listeners as readonly ListenerReference[])
    : [listeners as ListenerReference]
  return list.map((listener) => {
    const name: unknown =
      typeof listener === 'string' ? listener : (listener as { name?: unknown } | null)?.name
    requireText('waitFor', 'listener', name)
    return name
  })
}
