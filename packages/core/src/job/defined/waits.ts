import type { EventDefinition } from '../../event/define-event.ts'
import type { EventOf } from '../../event/recorded-event.ts'
import type { EventSequence } from '../../event/sequence.ts'
import type { Duration } from '../../listener/declared/backoff.ts'
import type { JobDefinition } from './define-job.ts'

/** How a job waits. */
export interface JobWaitOptions {
  /** How long at most. Defaults to for ever. */
  readonly timeout?: Duration
}

/** Which event a job waits for. */
export interface JobEventOptions<Definition> extends JobWaitOptions {
  /** Only events with this ordering key. Defaults to any. */
  readonly key?: string
  /** Only events that it accepts. Defaults to all. */
  readonly where?: (event: EventOf<Definition>) => boolean
  /** Only events after this sequence. Defaults to what is settled when the wait begins. */
  readonly after?: EventSequence
}

/**
 * Waiting without a slot: the attempt ends, and the job is run again from its first line when what it waits for is
 * there. Everything before the wait that must not be done twice belongs into steps.
 */
export interface JobWaits {
  /** @param id - names the wait within the job, as a step's id does. */
  sleep(id: string, duration: Duration): Promise<void>
  /** Waits for an event; answers undefined when the time was over first. */
  waitForEvent<Definition extends EventDefinition<string, unknown>>(
    id: string,
    definition: Definition,
    options?: JobEventOptions<Definition>,
  ): Promise<EventOf<Definition> | undefined>
  /** Waits until a listener or projection has handled everything up to `sequence`; answers whether it has in time. */
  waitFor(
    listener: string | { readonly name: string },
    sequence: EventSequence | null,
    options?: JobWaitOptions,
  ): Promise<boolean>
  /**
   * Spawns a child job, once, and waits for it.
   *
   * @returns its output.
   * @throws TidemarkError TIDEMARK_JOB_FAILED when it has failed or was cancelled.
   */
  child<Input, Output>(
    id: string,
    job: JobDefinition<Input, Output>,
    input: NoInfer<Input>,
  ): Promise<Output>
}
