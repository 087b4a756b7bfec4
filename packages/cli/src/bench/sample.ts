/** What a stage of the bench has found. */
export interface Finding {
  readonly what: string
  /** A second; null where only the time of one counts. */
  readonly rate: number | null
  /** How long one takes, in milliseconds; null where many are done at once. */
  readonly p50: number | null
  readonly p99: number | null
}

/** Until when a stage goes on. */
export interface Limits {
  /** In milliseconds. */
  readonly duration: number
  readonly stopped: AbortSignal
}

// However short a part is to be: one round is mostly what it cost to begin with.
const leastRounds = 10

/**
 * Does something again and again, one after the other, and takes the time of each. The first time does not count: it opens
 * connections, and what it runs has never been run.
 */
export async function timeEach(
  what: string,
  limits: Limits,
  work: () => Promise<unknown>,
): Promise<Finding> {
  await work()
  const times: number[] = []
  let before = performance.now()
  await repeat(limits, work, () => {
    const now = performance.now()
    times.push(now - before)
    before = now
  })
  return { what, rate: null, ...quantiles(times) }
}

/** Has several callers do something again and again, and counts what they have done after the first time of each. */
export async function countAll(
  what: string,
  limits: Limits,
  callers: number,
  work: () => Promise<number>,
): Promise<Finding> {
  const all = Array.from({ length: callers })
  await Promise.all(all.map(work))
  let done = 0
  const started = performance.now()
  await Promise.all(all.map(() => repeat(limits, work, (more) => (done += more))))
  return { what, rate: (done / (performance.now() - started)) * 1000, p50: null, p99: null }
}

/** Does something until the time is over, and a few times at least. */
async function repeat<T>(
  { duration, stopped }: Limits,
  work: () => Promise<T>,
  onDone: (result: T) => void,
): Promise<void> {
  const deadline = performance.now() + duration
  for (let round = 0; round < leastRounds || performance.now() < deadline; round++) {
    if (stopped.aborted) return
    onDone(await work())
  }
}

/** The median, and what 99 of 100 do not exceed. */
export function quantiles(times: readonly number[]): Pick<Finding, 'p50' | 'p99'> {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number | null =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
  return { p50: at(0.5), p99: at(0.99) }
}
