/** What a suspended job waits for besides the time, each by the id of its wait. */
export interface JobWait {
  readonly step: string
  readonly kind: 'event' | 'cursor' | 'job' | 'signal'
  readonly target?: string
  readonly key?: string
  readonly sequence?: string
  readonly child?: string
}

/**
 * How an attempt ends in which nothing can go on: the job goes on later, from its first line, past the steps that it has
 * finished.
 */
export interface Suspension {
  /** In how many milliseconds it goes on at the latest; infinity: when one of its waits is over. */
  readonly delay: number
  /** For people: what it waits for. */
  readonly waiting: Readonly<Record<string, unknown>>
  readonly waits: readonly JobWait[]
}
