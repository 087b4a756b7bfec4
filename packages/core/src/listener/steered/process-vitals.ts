/** How a process is, by its own account. */
export interface ProcessVitals {
  /** How often it says that it lives, in milliseconds. */
  readonly beatEvery: number
  /** The memory that it has, in bytes; and of it the heap that is in use. */
  readonly residentBytes: number
  readonly heapBytes: number
  /** How late its event loop was since it last said so: of a hundred delays the second longest, and the longest, in milliseconds. */
  readonly loopDelay: number
  readonly loopDelayMax: number
  /** How far its clock is ahead of the server's, in milliseconds; null: not known yet. */
  readonly clockAhead: number | null
  readonly troubles: readonly ProcessTrouble[]
}

/** Something wrong that only the process itself can know. */
export interface ProcessTrouble {
  /**
   * `deaf`: it hears no notifications; `slow`: it is at one batch for long; `retention`: old events stay; `outputs`: the
   * store of outputs does not take them; `pool`: work waits for a connection; `switch`: a rebuild does not become the live
   * generation.
   */
  readonly code: 'deaf' | 'slow' | 'retention' | 'outputs' | 'pool' | 'switch'
  /** What it is about: a listener, a projection, a partition of the outbox, a store, a pool. */
  readonly name: string
  /** For how long, in seconds. */
  readonly seconds: number
  /** Why, in some words. */
  readonly why: string
}
