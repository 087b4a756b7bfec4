/** Until when. */
export interface WatchOptions {
  /** Ends it. */
  readonly signal: AbortSignal
}

/** Something that happened to a state. */
export interface StateEvent {
  readonly is: 'written' | 'deleted'
  readonly key: string
  readonly version: number
}
