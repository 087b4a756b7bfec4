import { requireApp, type App, type Backoff } from 'tidemark'

/** A wait that was skipped. */
export interface SkippedWait {
  readonly listener: string
  /** The attempt that it would have come before; the first retry is 2. */
  readonly attempt: number
  /** How long it would have been, in milliseconds. */
  readonly wait: number
}

/** Makes retries come at once, until it is disposed. */
export interface SkippedBackoff extends Disposable {
  /** The waits that were skipped, in order. */
  readonly waits: readonly SkippedWait[]
}

/** A listener or projection, as far as its waits are concerned. */
interface Consumer {
  readonly name: string
  readonly failure: { backoff: Backoff }
}

/**
 * Lets the listeners and projections of an application try again at once what they would wait for, and notes how long
 * that would have been. It changes the definitions, and puts them back when it is disposed.
 *
 * @example
 * ```ts
 * import { drain, skipBackoff } from '@tidemark/testing'
 *
 * using skipped = skipBackoff(tidemark)
 * await drain(tidemark)
 * console.log(skipped.waits)
 * ```
 */
export function skipBackoff(app: App): SkippedBackoff {
  requireApp('skipBackoff', app)
  const waits: SkippedWait[] = []
  const undo: (() => void)[] = []
  for (const { name, failure } of consumersOf(app)) {
    const { backoff } = failure
    failure.backoff = (attempt) => {
      waits.push({ listener: name, attempt, wait: backoff(attempt) })
      return 0
    }
    undo.push(() => {
      failure.backoff = backoff
    })
  }
  return {
    waits,
    [Symbol.dispose](): void {
      for (const one of undo) one()
    },
  }
}

function consumersOf(app: App): ReadonlySet<Consumer> {
  const values = app.options.modules.flatMap((module): unknown[] => [
    module,
    ...Object.values(module),
  ])
  return new Set(values.filter(isConsumer))
}

function isConsumer(value: unknown): value is Consumer {
  const candidate = value as Partial<Consumer> | null
  return typeof candidate === 'object' && typeof candidate?.failure?.backoff === 'function'
}
