/** Where Tidemark logs: pino's shape, which most loggers have or can be given. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Logs nothing. */
export const silentLogger: Logger = Object.freeze({
  debug() {},
  info() {},
  warn() {},
  error() {},
})

/** Writes warnings and errors to stderr, a line of JSON each: what an application gets that names no logger. */
export const stderrLogger: Logger = Object.freeze({
  debug() {},
  info() {},
  warn: (fields, message) => write('warn', fields, message),
  error: (fields, message) => write('error', fields, message),
} satisfies Logger)

function write(level: string, fields: object, message: string): void {
  const line = JSON.stringify(
    { level, time: new Date().toISOString(), msg: message, ...fields },
    plain,
  )
  process.stderr.write(`${line}\n`)
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause } = value
  return { name, message, stack, ...(cause === undefined ? {} : { cause }) }
}
