// Where ORMs keep the driver's error: Drizzle, MikroORM; Sequelize; TypeORM.
const wrappings = ['cause', 'parent', 'original', 'driverError'] as const
const deepest = 8

/** The driver's error, of which an ORM may have made one of its own without a code. */
function driverErrorOf(error: unknown): unknown {
  let inner = error
  for (let depth = 0; depth < deepest; depth++) {
    if (typeof inner !== 'object' || inner === null) return error
    const wrapper = inner as Record<string, unknown>
    if (typeof wrapper['code'] === 'string') return inner
    const wrapping = wrappings.find((name) => typeof wrapper[name] === 'object' && wrapper[name])
    if (wrapping === undefined) return inner
    inner = wrapper[wrapping]
  }
  return error
}

// Prisma has codes of its own: a write conflict or deadlock, a server that cannot be reached, a closed connection.
const prismaCodes = new Map([
  ['P2034', '40001'],
  ['P1001', 'ECONNREFUSED'],
  ['P1017', 'ECONNRESET'],
])

/**
 * The SQLSTATE of a Postgres error, or the system code of a socket error, also where an ORM has wrapped it; undefined for
 * anything else.
 */
export function errorCodeOf(error: unknown): string | undefined {
  const inner = driverErrorOf(error)
  const code =
    typeof inner === 'object' && inner !== null ? (inner as { code?: unknown }).code : undefined
  return typeof code === 'string' ? (prismaCodes.get(code) ?? code) : undefined
}

// admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout and friends
const serverWentAway = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03'])
const socketCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EHOSTUNREACH',
])

/** Whether the connection is gone or could not be made: nothing about the statement itself was wrong. */
export function isConnectionError(error: unknown): boolean {
  const code = errorCodeOf(error)
  if (code !== undefined)
    return (
      code.startsWith('08') || serverWentAway.has(code) || socketCodes.has(code) || code === '53300'
    )
  // pg reports these without a code
  const inner = driverErrorOf(error)
  return (
    inner instanceof Error &&
    /Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded when trying to connect|connection error and is not queryable|Query read timeout/u.test(
      inner.message,
    )
  )
}

/** Whether a prepared statement met a table that has changed since: a new connection has no old plans. */
export function isStalePlan(error: unknown): boolean {
  return (
    errorCodeOf(error) === '0A000' && /cached plan/u.test((driverErrorOf(error) as Error).message)
  )
}

/** Whether the same transaction may well succeed when it is simply run again (serialization failure, deadlock). */
export function isRetryableConflict(error: unknown): boolean {
  const code = errorCodeOf(error)
  return code === '40001' || code === '40P01' || code === '55P03' || isStalePlan(error)
}

/** Flattens an error for storage and for logs: name, message, code, the causes behind it and the first stack. */
export function describeError(error: unknown): ErrorDescription {
  if (!(error instanceof Error)) return { name: typeof error, message: storable(String(error)) }
  const { code, hint } = error as { code?: unknown; hint?: unknown }
  return {
    name: error.name,
    message: storable(error.message),
    ...(typeof code === 'string' ? { code } : {}),
    ...(typeof hint === 'string' ? { hint } : {}),
    ...(error.stack === undefined ? {} : { stack: storable(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: describeError(error.cause) }),
  }
}

/** An error as it is stored in `last_error` and written to logs. */
export interface ErrorDescription {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly hint?: string
  readonly stack?: string
  readonly cause?: ErrorDescription
}

// jsonb refuses NUL and lone surrogates; recording a failure must not fail on the message.
function storable(text: string): string {
  return text.slice(0, 4000).toWellFormed().replaceAll('\0', '\u2400')
}
