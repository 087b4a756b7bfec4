import { isTidemarkError, TidemarkError, type ErrorCode } from 'tidemark'
import { CliError } from './cli-error.ts'
import { exitCode, type ExitCode } from './exit-code.ts'

/** An error as it is told to the user. */
export interface Explanation {
  /** Tidemark's own code of the error; undefined when it has none. */
  readonly code: string | undefined
  /** What the library knows of it, for programs. */
  readonly details: Readonly<Record<string, unknown>> | undefined
  readonly message: string
  /** The particulars: what is wrong where. */
  readonly particulars: readonly string[]
  readonly hint: string | undefined
  readonly exitCode: ExitCode
  readonly stack: string
}

const exitCodes: Partial<Record<ErrorCode, ExitCode>> = {
  TIDEMARK_CONNECTION_FAILED: exitCode.cannotConnect,
  TIDEMARK_INVALID_OPTION: exitCode.usage,
  TIDEMARK_INVALID_SCHEMA_NAME: exitCode.usage,
}

const nothing = { code: undefined, details: undefined, particulars: [] }

/** Says what went wrong, what to do about it, and what the process answers. */
export function explain(error: unknown, schema: string): Explanation {
  const known = recognise(error, schema)
  const stack = stackOf(known)
  if (known instanceof CliError) {
    const { message, hint } = known
    return { ...nothing, message, hint, exitCode: known.exitCode, stack }
  }
  if (isTidemarkError(known)) {
    const { message, hint, code, details } = known
    const particulars = particularsOf(details)
    const answer = exitCodes[code] ?? exitCode.failure
    return { code, details, message, particulars, hint, exitCode: answer, stack }
  }
  const whole = known instanceof Error ? known.message || known.name : String(known)
  const hint = property(known, 'hint')
  // Errors of @tidemark/testing have their hint in the message too.
  const message = hint === undefined ? whole : whole.replace(`\n  Hint: ${hint}`, '')
  return { ...nothing, message, hint, exitCode: exitCode.failure, stack }
}

/** The details that a person needs: what a schema objects to, and why a listener has stopped. */
function particularsOf(details: Readonly<Record<string, unknown>>): readonly string[] {
  const { issues, lastError } = details
  const objections = Array.isArray(issues)
    ? issues.map((issue) => `${property(issue, 'path') ?? ''}: ${property(issue, 'message') ?? ''}`)
    : []
  const reason = property(lastError, 'message')
  return reason === undefined ? objections : [...objections, reason]
}

/** Gives what Postgres and sockets report the code that the library has for it. */
function recognise(error: unknown, schema: string): unknown {
  if (error instanceof CliError || isTidemarkError(error)) return error
  const code = property(error, 'code') ?? ''
  const message = error instanceof Error ? error.message || code : String(error)
  if (isConnectionFailure(code, message)) {
    return new TidemarkError('TIDEMARK_CONNECTION_FAILED', message, { cause: error })
  }
  if (code === '42501') {
    return new TidemarkError('TIDEMARK_MISSING_PRIVILEGE', message, { cause: error })
  }
  const ours = message.includes(`"${schema}.`) || message.includes(`${schema}.`)
  const missing = ['42P01', '42883', '3F000'].includes(code)
  if (missing && (ours || message.includes(`"${schema}"`))) {
    return new TidemarkError('TIDEMARK_MIGRATION_REQUIRED', message, { cause: error })
  }
  return raisedByPublish(code, message, error) ?? error
}

// The SQL function publish() raises the library's codes at the head of its messages.
function raisedByPublish(code: string, message: string, cause: unknown): TidemarkError | undefined {
  const raised = { TM001: 'TIDEMARK_STREAM_CONFLICT', TM002: 'TIDEMARK_DUPLICATE_EVENT' } as const
  const known = code === 'TM001' || code === 'TM002' ? raised[code] : undefined
  if (known === undefined) return undefined
  return new TidemarkError(known, message.replace(`${known}: `, ''), { cause })
}

const socketCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
])

function isConnectionFailure(code: string, message: string): boolean {
  // 28: authorization; 3D000: no such database; 57P: the server ends or starts; 53300: it is full
  if (/^(?:08|28|57P)/u.test(code) || code === '3D000' || code === '53300') return true
  if (socketCodes.has(code)) return true
  return /timeout exceeded when trying to connect|Connection terminated|server does not support SSL|SASL|password must be a string/u.test(
    message,
  )
}

function property(value: unknown, name: string): string | undefined {
  const found: unknown =
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
  return typeof found === 'string' ? found : undefined
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.stack ?? error.message
  return error.cause === undefined ? own : `${own}\ncaused by: ${stackOf(error.cause)}`
}
