import { AsyncLocalStorage } from 'node:async_hooks'

/** What is being handled while an event is published: where its causation and correlation come from. */
export interface Cause {
  readonly causationId: string
  readonly correlationId: string
  /** The step of the job that publishes. */
  readonly step?: string
}

/** The cause of whatever is published in the present asynchronous context. */
export const currentCause: AsyncLocalStorage<Cause> = new AsyncLocalStorage<Cause>()
