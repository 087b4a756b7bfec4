import { errorCodeOf, isConnectionError, isStalePlan } from './postgres-error.ts'
import { isTidemarkError } from './tidemark-error.ts'

/**
 * Whose fault a failure is:
 * - `'connection'`: the connection was lost, or none could be made.
 * - `'conflict'`: two transactions met; the same again may well succeed.
 * - `'server'`: the server cannot do it now, whoever asks: no disk, no memory, a table that is yet to be deployed.
 * - `'broker'`: a broker cannot be reached.
 * - `'reader'`: this process is too old for what it was given.
 * - `'work'`: the event, the job or the code that handles it. Only these are counted, and dealt with by policy.
 */
export type Blame = 'connection' | 'conflict' | 'server' | 'broker' | 'reader' | 'work'

/** What Postgres reports that is the server's trouble, by SQLSTATE or its class, and what that is. */
export const serverTroubles: Readonly<Record<string, string>> = {
  '53': 'out of disk, memory or connections, or beyond a configured limit',
  '58': 'an error of the operating system, for instance of a disk',
  '25006': 'the server is read-only: a standby, or one that is being switched over',
  '55P03': 'a lock was not to be had within lock_timeout',
  '55006': 'an object is in use',
  '57014': 'an administrator cancelled the statement',
  '3F000': 'a schema that is not there (yet)',
  '42P01': 'a table that is not there (yet)',
  '42703': 'a column that is not there (yet)',
  '42883': 'a function that is not there (yet)',
  '42704': 'a type or another object that is not there (yet)',
  '42501': 'a privilege that was not granted (yet)',
  XX001: 'corrupted data',
  XX002: 'a corrupted index',
  F0000: 'an error in the configuration of the server',
}

const ofOthers = new WeakSet<object>()

/**
 * Says of an error that looks like that of a lost connection (a `fetch` in a handler fails with ECONNRESET, too) that the
 * database's connection was well: then it is the work's.
 */
export function connectionWasWell(error: unknown): void {
  if (typeof error === 'object' && error !== null) ofOthers.add(error)
}

const conflicts = new Set(['40001', '40P01'])

/** Whose fault a failure is. Never throws. */
export function blameOf(error: unknown): Blame {
  // What aborted the transaction is the reason, not that it was aborted.
  if (isTidemarkError(error, 'TIDEMARK_TRANSACTION_ABORTED') && error.cause !== undefined) {
    return blameOf(error.cause)
  }
  if (
    isTidemarkError(error, 'TIDEMARK_BROKER_UNAVAILABLE') ||
    isTidemarkError(error, 'TIDEMARK_RELAY_OUTRUN')
  ) {
    return 'broker'
  }
  if (
    isTidemarkError(error, 'TIDEMARK_EVENT_TOO_NEW') ||
    isTidemarkError(error, 'TIDEMARK_PROJECTION_TOO_NEW')
  ) {
    return 'reader'
  }
  if (isTidemarkError(error, 'TIDEMARK_NO_CONNECTION')) return 'server'
  // A table or function that is not there (yet).
  if (isTidemarkError(error, 'TIDEMARK_MIGRATION_REQUIRED')) return 'server'
  const code = errorCodeOf(error)
  if (conflicts.has(code ?? '') || isStalePlan(error)) return 'conflict'
  if (isServersTrouble(code, error)) return 'server'
  if (!isConnectionError(error)) return 'work'
  return ofOthers.has(error as object) ? 'work' : 'connection'
}

function isServersTrouble(code: string | undefined, error: unknown): boolean {
  if (code?.length !== 5) return false
  // A statement that is too slow for statement_timeout is the statement's own fault.
  if (code === '57014') return /user request/u.test((error as Error).message)
  return code in serverTroubles || code.slice(0, 2) in serverTroubles
}
