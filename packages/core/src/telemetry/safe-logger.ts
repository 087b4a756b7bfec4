import { shown } from '../errors/checked-text.ts'
import { describeError, messageOf } from '../errors/describe-error.ts'
import { looksLikeError, preview } from '../errors/foreign-value.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import type { Logger } from './logger.ts'

const levels = ['debug', 'info', 'warn', 'error'] as const

/** What a line of a log says. */
export interface LogLine {
  readonly fields: object
  readonly message: string
}

/**
 * A line out of whatever somebody gave a logger: as asked, `(fields, message)`, or as other loggers have it, only a
 * message or only an error. Never throws.
 */
export function lineOf(fields: unknown, message?: unknown): LogLine {
  const text = typeof message === 'string' ? message : undefined
  if (looksLikeError(fields)) return { fields: { err: fields }, message: text ?? messageOf(fields) }
  if (typeof fields === 'object' && fields !== null) {
    const rest = text ?? (message === undefined ? '' : preview(message))
    return { fields: copied(fields), message: rest }
  }
  if (text === undefined) return { fields: {}, message: preview(fields) }
  return { fields: fields === undefined ? {} : { value: preview(fields) }, message: text }
}

/** Reads the fields once, so that nobody who spreads them later fails on an accessor. */
function copied(fields: object): object {
  try {
    return { ...fields }
  } catch {
    return { value: preview(fields) }
  }
}

/** Throws TIDEMARK_INVALID_OPTION unless `logger` has the four methods of a logger. */
export function requireLogger(where: string, logger: unknown): asserts logger is Logger {
  const isLogger =
    logger !== null &&
    (typeof logger === 'object' || typeof logger === 'function') &&
    levels.every((level) => typeof (logger as Partial<Logger>)[level] === 'function')
  if (isLogger) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "logger" must be a logger, not ${shown(logger)}`,
    {
      hint: 'It has the methods debug, info, warn and error, as those of pino have them: `(fields, message)`.',
      details: { option: 'logger', value: shown(logger) },
    },
  )
}

const made = new WeakMap<Logger, Logger>()

/**
 * A logger that never throws and never rejects, whatever the one behind it does: what is logged on a path of failure must
 * not be another failure. A line that the logger refuses is given to it once more in plain values; one that it refuses
 * then, too, is lost, and the first such error is a warning of the process.
 */
export function safeLogger(logger: Logger): Logger {
  const before = made.get(logger)
  if (before !== undefined) return before
  let warned = false
  const lose = (error: unknown): void => {
    if (warned) return
    warned = true
    process.emitWarning(`the logger given to Tidemark fails: ${messageOf(error)}`)
  }
  const write = (level: (typeof levels)[number], line: LogLine): void => {
    // A logger may be asynchronous, whatever its type says.
    const answer = logger[level](line.fields, line.message) as unknown
    if (answer instanceof Promise) answer.catch(lose)
  }
  const safe = Object.fromEntries(
    levels.map((level) => [
      level,
      (fields: object, message: string): void => {
        const line = lineOf(fields, message)
        try {
          write(level, line)
        } catch {
          try {
            write(level, { fields: plainFields(line.fields), message: line.message })
          } catch (error) {
            lose(error)
          }
        }
      },
    ]),
  ) as unknown as Logger
  made.set(logger, safe)
  made.set(safe, safe)
  return safe
}

function plainFields(fields: object): Record<string, unknown> {
  const plain: Record<string, unknown> = {}
  try {
    for (const [key, value] of Object.entries(fields)) {
      plain[key] = looksLikeError(value) ? describeError(value) : preview(value)
    }
  } catch {
    plain['unreadable'] = true
  }
  return plain
}
