import { applicationCodes } from './codes/application.ts'
import { databaseCodes } from './codes/database.ts'
import { eventCodes } from './codes/events.ts'
import { jobCodes } from './codes/jobs.ts'
import { listenerCodes } from './codes/listeners.ts'
import { projectionCodes } from './codes/projections.ts'
import { relayCodes } from './codes/relays.ts'
import { requestCodes } from './codes/requests.ts'
import { storeCodes } from './codes/stores.ts'
import { transactionCodes } from './codes/transactions.ts'

/** What one error code means and what to do about it. `docs/errors.md` is generated from these tables. */
export interface ErrorCodeEntry {
  readonly summary: string
  /** A message as the library words it, with names and numbers of one case. */
  readonly example: string
  readonly remedy: string
}

type ErrorCodes = typeof applicationCodes &
  typeof databaseCodes &
  typeof transactionCodes &
  typeof eventCodes &
  typeof listenerCodes &
  typeof projectionCodes &
  typeof jobCodes &
  typeof relayCodes &
  typeof requestCodes &
  typeof storeCodes

/** Every code that a {@link TidemarkError} can carry. Codes are stable: they may be added, never changed. */
export const errorCodes: ErrorCodes = {
  ...applicationCodes,
  ...databaseCodes,
  ...transactionCodes,
  ...eventCodes,
  ...listenerCodes,
  ...projectionCodes,
  ...jobCodes,
  ...relayCodes,
  ...requestCodes,
  ...storeCodes,
}

/** A stable error code. */
export type ErrorCode = keyof typeof errorCodes

/** Whether a text is one of the codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCodes, text)
}
