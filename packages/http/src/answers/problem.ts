import { errorCodes, isTidemarkError, TidemarkError, type ErrorCode } from 'tidemark'
import { toJson, withoutStacks } from './json.ts'

/** What an error is answered with: `application/problem+json` (RFC 9457). */
export interface Problem {
  /** `urn:tidemark:error:` and the code; `about:blank` when there is none. */
  readonly type: string
  /** What goes wrong with this code in general. */
  readonly title: string
  readonly status: number
  /** What went wrong here. */
  readonly detail?: string
  readonly code?: ErrorCode
  /** What to do about it. */
  readonly hint?: string
  /** The values at fault. */
  readonly details?: unknown
}

const statuses: Partial<Record<ErrorCode, number>> = {
  TIDEMARK_REQUEST_INVALID: 400,
  TIDEMARK_REQUEST_DENIED: 403,
  TIDEMARK_INVALID_OPTION: 400,
  TIDEMARK_INVALID_INPUT: 422,
  TIDEMARK_PAYLOAD_NOT_STORABLE: 422,
  TIDEMARK_UNKNOWN_JOB: 404,
  TIDEMARK_UNKNOWN_JOB_TYPE: 404,
  TIDEMARK_UNKNOWN_SCHEDULE: 404,
  TIDEMARK_NAME_TAKEN: 409,
  TIDEMARK_REQUEST_CHANGED: 422,
  TIDEMARK_DUPLICATE_JOB: 409,
  TIDEMARK_JOB_STATUS: 409,
  TIDEMARK_JOB_FAILED: 409,
  TIDEMARK_UNKNOWN_LISTENER: 404,
  TIDEMARK_UNKNOWN_DEAD_LETTER: 404,
  TIDEMARK_NO_REBUILD: 409,
  TIDEMARK_NOT_HALTED: 409,
  TIDEMARK_CURSOR_AHEAD: 422,
  TIDEMARK_EVENTS_PRUNED: 409,
  TIDEMARK_CANNOT_REBUILD: 409,
  TIDEMARK_CANNOT_RESET: 409,
  TIDEMARK_CONNECTION_FAILED: 503,
  TIDEMARK_NO_CONNECTION: 503,
  TIDEMARK_STANDBY: 503,
  TIDEMARK_BROKER_UNAVAILABLE: 503,
  TIDEMARK_MIGRATION_REQUIRED: 503,
  TIDEMARK_CLOSED: 503,
}

/** The error of a request that is wrong in itself, with the status that says how. */
export function invalidRequest(status: number, message: string, hint?: string): TidemarkError {
  return new TidemarkError('TIDEMARK_REQUEST_INVALID', message, {
    ...(hint === undefined ? {} : { hint }),
    details: { status },
  })
}

/** The answer to an error. What is not the client's to know stays here: {@link isOurFault}. */
export function problemResponse(error: unknown): Response {
  const problem = problemOf(error)
  return new Response(toJson(problem), {
    status: problem.status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' },
  })
}

/** Whether an error says nothing about the request, and belongs into the log. */
export function isOurFault(error: unknown): boolean {
  return problemOf(error).status >= 500
}

/** An error as it is answered: of what is not the client's fault it says no more than that. */
export function problemOf(error: unknown): Problem {
  const status = isTidemarkError(error) ? statusOf(error) : undefined
  if (!isTidemarkError(error) || status === undefined) {
    return { type: 'about:blank', title: 'Internal Server Error', status: 500 }
  }
  const { code, hint } = error
  const facts = factsOf(error)
  // Of the database it says where it is and who connects.
  const shown = status < 500
  return {
    type: `urn:tidemark:error:${code}`,
    title: errorCodes[code].summary,
    status,
    ...(shown ? { detail: error.message.replace(`${code}: `, '') } : {}),
    code,
    ...(shown ? { hint } : {}),
    ...(shown && Object.keys(facts).length > 0 ? { details: withoutStacks(facts) } : {}),
  }
}

/** The details, without the status that {@link invalidRequest} puts there. */
function factsOf({ code, details }: TidemarkError): Readonly<Record<string, unknown>> {
  if (code !== 'TIDEMARK_REQUEST_INVALID') return details
  const { status: _, ...facts } = details
  return facts
}

function statusOf({ code, details }: TidemarkError): number | undefined {
  if (code === 'TIDEMARK_REQUEST_INVALID') return (details['status'] as number | undefined) ?? 400
  return statuses[code]
}
