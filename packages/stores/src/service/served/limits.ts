import { requireWhole } from '../../opened/checked.ts'

/** What clients of a state service may cost. */
export interface ServiceLimits {
  /** The most bytes of a request; an answer may have eight times as many. Defaults to 1,048,576. */
  readonly lineBytes: number
  /** The most clients at once. Defaults to 256. */
  readonly clients: number
  /** The most requests of one client that are read in a second; more wait in its socket. Defaults to 10,000. */
  readonly requestsPerSecond: number
  /** The most requests of one client that are worked on at once; more wait in its socket. Defaults to 64. */
  readonly pipelined: number
  /**
   * After how many milliseconds a client is sent away that reads none of its answers, or that stops in the middle of
   * a line. Defaults to 30,000.
   */
  readonly stallTimeout: number
}

const defaults: ServiceLimits = {
  lineBytes: 1_048_576,
  clients: 256,
  requestsPerSecond: 10_000,
  pipelined: 64,
  stallTimeout: 30_000,
}

const ranges: Readonly<Record<keyof ServiceLimits, readonly [number, number]>> = {
  lineBytes: [1_024, 67_108_864],
  clients: [1, 10_000],
  requestsPerSecond: [1, 1_000_000],
  pipelined: [1, 10_000],
  stallTimeout: [100, 86_400_000],
}

/** The names of {@link ServiceLimits}. */
export const limitNames = Object.keys(defaults) as readonly (keyof ServiceLimits)[]

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function limitsOf(where: string, given: Partial<ServiceLimits>): ServiceLimits {
  const limits = { ...defaults, ...given }
  for (const name of limitNames) requireWhole(where, name, limits[name], ...ranges[name])
  return limits
}
