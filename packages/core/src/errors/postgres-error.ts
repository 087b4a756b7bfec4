import { field, textField } from './foreign-value.ts'
import { causesOf, isPlanLost } from './origin.ts'

/** The driver's error, of which an ORM may have made one of its own without a code. */
function driverErrorOf(error: unknown): unknown {
  const causes = causesOf(error)
  return causes.find((cause) => textField(cause, 'code') !== undefined) ?? causes.at(-1) ?? error
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
  const code = textField(driverErrorOf(error), 'code')
  return code === undefined ? undefined : (prismaCodes.get(code) ?? code)
}

// admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout and friends; the limits on
// transactions that are idle, or too long
const serverWentAway = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04'])
const socketCodes = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENETRESET',
  'ECONNABORTED',
  'EADDRNOTAVAIL',
  'EMFILE',
  'ENFILE',
  'ENOBUFS',
])

/** Whether the connection is gone or could not be made: nothing about the statement itself was wrong. */
export function isConnectionError(error: unknown): boolean {
  const code = errorCodeOf(error)
  // A statement was given more or fewer parameters than it has: the server calls that a breach of the protocol.
  if (code === '08P01' && textField(driverErrorOf(error), 'routine') === 'exec_bind_message') {
    return false
  }
  if (code !== undefined)
    return (
      code.startsWith('08') || serverWentAway.has(code) || socketCodes.has(code) || code === '53300'
    )
  // pg reports these without a code
  return /Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded when trying to connect|connection error and is not queryable|Query read timeout/u.test(
    textField(driverErrorOf(error), 'message') ?? '',
  )
}

/** Whether no connection could be made: then nothing was sent. */
export function isUnconnected(error: unknown): boolean {
  const driverError = driverErrorOf(error)
  const code = errorCodeOf(error)
  // too_many_connections, and a server that is starting or ending
  if (code === '53300' || code === '57P03') return true
  // Of the addresses of one name each has failed in its own way.
  const attempts: unknown = field(driverError, 'errors')
  const failures = Array.isArray(attempts) && attempts.length > 0 ? attempts : [driverError]
  if (failures.every((one) => connecting.has(textField(one, 'syscall') ?? ''))) return true
  return /timeout exceeded when trying to connect|due to connection timeout/u.test(
    textField(driverError, 'message') ?? '',
  )
}

const connecting = new Set(['connect', 'getaddrinfo'])

/**
 * Whether a prepared statement met a table that has changed since, or is not there any more because somebody's DEALLOCATE
 * took it: a new connection has neither.
 */
export function isStalePlan(error: unknown): boolean {
  const code = errorCodeOf(error)
  if (code === '26000') return true
  if (code !== '0A000') return false
  const driverError = driverErrorOf(error)
  // The message is in the language of the server.
  return (
    textField(driverError, 'routine') === 'RevalidateCachedQuery' ||
    /cached plan/u.test(textField(driverError, 'message') ?? '')
  )
}

/** Whether the same transaction may well succeed when it is simply run again (serialization failure, deadlock). */
export function isRetryableConflict(error: unknown): boolean {
  const code = errorCodeOf(error)
  return code === '40001' || code === '40P01' || code === '55P03' || isPlanLost(error)
}

// data_exception, program_limit_exceeded, integrity_constraint_violation, and what a trigger raises.
const contentClasses = new Set(['22', '54', '23', 'P0'])

/**
 * Whether the server refused a statement for what was to be stored: a character, a number or a size that it does not
 * take, or a rule of the database's. Sending the same again changes nothing.
 */
export function isContentRefused(error: unknown): boolean {
  const code = errorCodeOf(error)
  return code?.length === 5 && contentClasses.has(code.slice(0, 2))
}
