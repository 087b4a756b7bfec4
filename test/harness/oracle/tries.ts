// Those who give up after two attempts. A death between an attempt and its count, and a retry of dead letters, add some.
const impatient =
  /^warn: (parking|parking-keys|skipping|halting) failed on event (\d+); it will be tried again/u
const most = 12

/** Counts in the logs of workers how often they try events again that they should give up. */
export class Tries {
  readonly #times = new Map<string, number>()
  readonly #violate: (promise: string, evidence: unknown) => void

  constructor(violate: (promise: string, evidence: unknown) => void) {
    this.#violate = violate
  }

  /** Reads a line of a worker's log. */
  read(line: string): void {
    const [, listener, sequence] = impatient.exec(line) ?? []
    if (listener === undefined) return
    const event = `${listener} ${sequence}`
    const times = (this.#times.get(event) ?? 0) + 1
    this.#times.set(event, times)
    if (times > most)
      this.#violate('an event is tried as often as its policy says', { event, times })
  }
}
