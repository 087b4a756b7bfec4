import type { EventDraft, PublishOptions } from 'tidemark'

/** An event that has happened before a test begins: a draft, or one with what it is published with. */
export type GivenEvent = EventDraft | PlacedEvent

/** A draft with what it is published with. */
export interface PlacedEvent {
  readonly draft: EventDraft
  readonly options: PublishOptions
}

/**
 * Says with which stream, key or metadata an event was published.
 *
 * @example
 * ```ts
 * import { withOptions } from '@tidemark/testing'
 *
 * const opened = defineEvent('accounts.opened', { payload: z.object({ id: z.string() }) })
 *
 * const first = withOptions(opened({ id: 'a-1' }), { stream: 'account-a-1' })
 * ```
 */
export function withOptions(draft: EventDraft, options: PublishOptions): PlacedEvent {
  return { draft, options }
}

/** The draft and the options of either form. */
export function placed(event: GivenEvent): PlacedEvent {
  return 'draft' in event ? event : { draft: event, options: {} }
}
