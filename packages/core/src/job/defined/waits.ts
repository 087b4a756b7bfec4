import type { z } from 'zod'
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
  /**
   * Only events after this sequence; TIDEMARK_EVENTS_PRUNED when such events were pruned. Defaults to what is settled when
   * the wait begins.
   */
  readonly after?: EventSequence
}

/** Which signal a job waits for. */
export interface JobSignalOptions<T> extends JobWaitOptions {
  /** What the signal must carry: what does not fit fails the job, with TIDEMARK_INVALID_INPUT. Defaults to anything. */
  readonly schema?: z.ZodType<T>
}

/** What binds a job to a child. */
export interface ChildOptions {
  /**
   * What becomes of the child when its parent is cancelled: `'cancel'`: it is, too, within a second; `'abandon'`: it goes
   * on alone; `'wait'`: it goes on, and the parent is cancelled when it has ended. Defaults to `'cancel'`.
   */
  readonly onCancel?: 'cancel' | 'abandon' | 'wait'
  /**
   * What becomes of the parent when the child has failed or was cancelled: `'throw'`: it gets the error and decides;
   * `'fail'`: it fails at once, and is not tried again. Defaults to `'throw'`.
   */
  readonly onFailure?: 'throw' | 'fail'
  /** Whether a failed child is run again when its parent is. Defaults to true. */
  readonly retry?: boolean
}

/**
 * Waiting without a slot: the attempt ends, and the job is run again from its first line when what it waits for is
 * there. Everything before the wait that must not be done twice belongs into steps.
 */
export interface JobWaits {
  /** @param id - names the wait within the job, as a step's id does. */
  sleep(id: string, duration: Duration): Promise<void>
  /**
   * Waits for an event, under any name that its definition has or had; answers undefined when the time was over first. The
   * outbox keeps the event until the job has finished.
   */
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
   * Waits for a signal that somebody sends to this job with `jobs.signal(id, name, payload)`. Signals are kept until the
   * job asks, and each is taken once, the oldest first.
   *
   * @returns what it carries; undefined when the time was over first.
   */
  waitForSignal<T = unknown>(
    id: string,
    name: string,
    options?: JobSignalOptions<T>,
  ): Promise<T | undefined>
  /**
   * Spawns a child job, once, and waits for it. Children run side by side: await them together.
   *
   * @returns its output.
   * @throws TidemarkError TIDEMARK_JOB_FAILED when it has failed or was cancelled, TIDEMARK_CHILD_GONE when it was
   * deleted.
   */
  child<Input, Output>(
    id: string,
    job: JobDefinition<Input, Output>,
    input: NoInfer<Input>,
    options?: ChildOptions,
  ): Promise<Output>
}
