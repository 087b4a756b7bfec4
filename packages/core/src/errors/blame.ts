import { textField } from './foreign-value.ts'
import { causesOf, isNotReached, isOwnToWork, isPlanLost, ownToWork, toldWithin } from './origin.ts'
import { errorCodeOf, isConnectionError } from './postgres-error.ts'
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
  '28': 'it does not let this process in: a password, a role or a rule was changed',
  '3D000': 'a database that is not there (yet)',
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

// What comes of a search path, a role, a mode or a limit that the handler has set in its transaction.
const ofSession = new Set([
  '25006',
  '55P03',
  '57014',
  '3F000',
  '42P01',
  '42703',
  '42883',
  '42704',
  '42501',
])

/**
 * Whether a failure is that our database could not be reached, or had no connection left: nothing of the work has failed.
 * Never throws.
 */
export function isConnectionLost(error: unknown): boolean {
  if (isOwnToWork(error)) return false
  return (
    isTidemarkError(error, 'TIDEMARK_NO_CONNECTION') ||
    isNotReached(toldWithin(error)) ||
    isConnectionError(toldWithin(error) ?? error)
  )
}

const conflicts = new Set(['40001', '40P01'])

/**
 * Judges what a handler threw: unless it is what a connection of Tidemark's failed with, in whatever wrapping, it is the
 * work's, also where it looks like the trouble of a server.
 *
 * @param wasTold - whether a statement of its transaction failed in the same way: some ORMs keep of an error only its code.
 */
export function judgeThrown(error: unknown, wasTold: boolean): void {
  if (wasTold || toldWithin(error) !== undefined) return
  // What is thrown through a handler by Tidemark's own functions says itself what it is.
  if (!causesOf(error).some((cause) => isTidemarkError(cause))) ownToWork(error)
}

/** Runs the application's code, which asks no server: whatever it throws is the work's. */
export function inWork<T>(code: () => T): T {
  try {
    return code()
  } catch (error) {
    judgeThrown(error, false)
    throw error
  }
}

/** Judges what a transaction failed with whose handler had changed its session: what comes of that is the work's. */
export function judgeAltered(error: unknown): void {
  if (ofSession.has(errorCodeOf(toldWithin(error) ?? error) ?? '')) ownToWork(error)
}

/** Whose fault a failure is. Never throws. */
export function blameOf(error: unknown): Blame {
  if (isOwnToWork(error)) return 'work'
  const ours = causesOf(error).find((cause) => isTidemarkError(cause))
  if (isTidemarkError(ours)) {
    // What aborted the transaction is the reason, not that it was aborted.
    const isReason = ours.code !== 'TIDEMARK_TRANSACTION_ABORTED' || ours.cause === undefined
    return isReason ? (ownBlames.get(ours.code) ?? 'work') : blameOf(ours.cause)
  }
  const failed = toldWithin(error) ?? error
  if (isNotReached(failed)) return 'connection'
  const code = errorCodeOf(failed)
  if (conflicts.has(code ?? '') || isPlanLost(failed)) return 'conflict'
  if (isServersTrouble(code, failed)) return 'server'
  return isConnectionError(failed) ? 'connection' : 'work'
}

const ownBlames: ReadonlyMap<string, Blame> = new Map([
  ['TIDEMARK_BROKER_UNAVAILABLE', 'broker'],
  ['TIDEMARK_RELAY_OUTRUN', 'broker'],
  ['TIDEMARK_EVENT_TOO_NEW', 'reader'],
  ['TIDEMARK_PROJECTION_TOO_NEW', 'reader'],
  ['TIDEMARK_NO_CONNECTION', 'server'],
  // A table or function that is not there (yet).
  ['TIDEMARK_MIGRATION_REQUIRED', 'server'],
])

function isServersTrouble(code: string | undefined, error: unknown): boolean {
  if (code?.length !== 5) return false
  if (code === '57014') return isCancelled(error)
  return code in serverTroubles || code.slice(0, 2) in serverTroubles
}

/**
 * Whether somebody cancelled the statement. One that is too slow for statement_timeout, and a COPY that nobody feeds, are
 * at fault themselves; what is said of them is in the language of the server.
 */
function isCancelled(error: unknown): boolean {
  const where = textField(error, 'routine') ?? 'ProcessInterrupts'
  const message = textField(error, 'message') ?? ''
  return where === 'ProcessInterrupts' && !/statement timeout/u.test(message)
}
