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

/** Does something again and again, one after the other, and takes the time of each. */
export async function timeEach(
  what: string,
  { duration, stopped }: Limits,
  work: () => Promise<unknown>,
): Promise<Finding> {
  const times: number[] = []
  const deadline = performance.now() + duration
  while (performance.now() < deadline && !stopped.aborted) {
    const started = performance.now()
    await work()
    times.push(performance.now() - started)
  }
  return { what, rate: null, ...quantiles(times) }
}

/** Has several callers do something again and again, and counts what they have done. */
export async function countAll(
  what: string,
  { duration, stopped }: Limits,
  callers: number,
  work: () => Promise<number>,
): Promise<Finding> {
  let done = 0
  const started = performance.now()
  const deadline = started + duration
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < deadline && !stopped.aborted) done += await work()
    }),
  )
  return { what, rate: (done / (performance.now() - started)) * 1000, p50: null, p99: null }
}

/** The median, and what 99 of 100 do not exceed. */
export function quantiles(times: readonly number[]): Pick<Finding, 'p50' | 'p99'> {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number): number | null =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
  return { p50: at(0.5), p99: at(0.99) }
}
