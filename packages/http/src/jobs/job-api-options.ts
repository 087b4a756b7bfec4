import { rejectUnknownOptions, TidemarkError } from 'tidemark'
import type { Authorize } from '../access/access.ts'

/** How {@link createJobApi} serves. */
export interface JobApiOptions {
  /**
   * Says who may do what. Defaults to serving clients on this machine and nobody else, which it knows by the address
   * that the server passes along; without one nobody is served.
   */
  readonly authorize?: Authorize
  /** What the paths begin with, as in `'/api/jobs'`. Defaults to nothing. */
  readonly basePath?: string
  /** Origins, beside the request's own, whose pages may change something, as in `'https://admin.example'`. Defaults to none. */
  readonly allowedOrigins?: readonly string[]
  /** The largest body, in bytes. Defaults to 1 MiB. */
  readonly maxBodySize?: number
  /** How many clients may follow progress at the same time. Defaults to 100. */
  readonly maxStreams?: number
  /** How often an idle stream sends a comment, so that nobody on the way takes it for dead, in milliseconds. Defaults to 15,000. */
  readonly heartbeatInterval?: number
  /** Who spawns and retries, for the history of the job. Defaults to `'http'`. */
  readonly triggeredBy?: (request: Request) => string | Promise<string>
  /** Ends all streams, so that a server that closes does not wait for them. */
  readonly signal?: AbortSignal
}

export const jobApiOptionNames: readonly string[] = [
  'authorize',
  'basePath',
  'allowedOrigins',
  'maxBodySize',
  'maxStreams',
  'heartbeatInterval',
  'triggeredBy',
  'signal',
]

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function checkJobApiOptions(
  where: string,
  options: Omit<JobApiOptions, 'authorize'>,
  known: readonly string[] = jobApiOptionNames,
): void {
  rejectUnknownOptions(where, options, known)
  const { basePath = '', allowedOrigins = [] } = options
  if (typeof basePath !== 'string' || !/^(?:\/[\w.~-]+)*$/u.test(basePath)) {
    throw invalid(
      `${where}: "basePath" cannot be ${quoted(basePath)}`,
      "It begins with a slash and does not end with one: '/api/jobs'.",
    )
  }
  if (!Array.isArray(allowedOrigins)) {
    throw invalid(
      `${where}: "allowedOrigins" must be a list`,
      "For instance `['https://admin.example']`.",
    )
  }
  for (const origin of allowedOrigins as readonly unknown[]) {
    if (typeof origin === 'string' && URL.parse(origin)?.origin === origin) continue
    throw invalid(
      `${where}: "allowedOrigins" cannot have ${quoted(origin)}`,
      "An origin is a scheme, a host and perhaps a port: 'https://admin.example'.",
    )
  }
  for (const option of ['maxBodySize', 'maxStreams', 'heartbeatInterval'] as const) {
    const value = options[option]
    if (value === undefined || (Number.isInteger(value) && value >= 1)) continue
    throw invalid(
      `${where}: "${option}" must be a whole number of at least 1, not ${String(value)}`,
    )
  }
}

function quoted(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

function invalid(message: string, hint?: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    message,
    hint === undefined ? undefined : { hint },
  )
}
