import { createColors } from 'picocolors'
import type { Logger } from 'tidemark'
import type { CliIo } from '../io.ts'
import { cell } from './output.ts'

/** How a worker logs. */
export type LogFormat = 'json' | 'pretty'

type Level = keyof Logger

/** A logger on stderr: lines of JSON for machines, or of words for people. It leaves debug messages out. */
export function workerLogger(io: CliIo, format: LogFormat): Logger {
  const write = format === 'json' ? writeJson : writePretty
  return {
    debug() {},
    info: (fields, message) => write(io, 'info', fields, message),
    warn: (fields, message) => write(io, 'warn', fields, message),
    error: (fields, message) => write(io, 'error', fields, message),
  }
}

function writeJson(io: CliIo, level: Level, fields: object, message: string): void {
  const line = { level, time: new Date().toISOString(), msg: message, ...fields }
  io.stderr(`${JSON.stringify(line, plain)}\n`)
}

function writePretty(io: CliIo, level: Level, fields: object, message: string): void {
  const colors = createColors(io.colors.stderr)
  const paint = { debug: colors.dim, info: colors.green, warn: colors.yellow, error: colors.red }
  const { err, ...rest } = fields as { err?: unknown }
  const details = Object.entries(rest).map(([name, value]) => colors.dim(`${name}=${cell(value)}`))
  const head = [new Date().toISOString(), paint[level](level.padEnd(5)), message, ...details]
  io.stderr(`${head.join(' ')}\n`)
  if (err === undefined) return
  const text = err instanceof Error ? (err.stack ?? err.message) : cell(err)
  io.stderr(`${text.replaceAll(/^/gmu, '    ')}\n`)
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (!(value instanceof Error)) return value
  const { name, message, stack, cause } = value
  return { name, message, stack, ...(cause === undefined ? {} : { cause }) }
}
