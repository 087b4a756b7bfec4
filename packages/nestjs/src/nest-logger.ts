import { Logger as NestLogger } from '@nestjs/common'
import type { Logger } from 'tidemark'

/**
 * A logger for Tidemark that writes through Nest's, so that its lines go where the application's go.
 *
 * @param context - what the lines are marked with. Defaults to `'Tidemark'`.
 */
export function nestLogger(context: string = 'Tidemark'): Logger {
  const nest = new NestLogger(context)
  return {
    debug: (fields, message) => nest.debug(lineOf(fields, message)),
    info: (fields, message) => nest.log(lineOf(fields, message)),
    warn: (fields, message) => nest.warn(lineOf(fields, message)),
    error: (fields, message) => {
      const { err } = fields as { readonly err?: unknown }
      nest.error(lineOf(fields, message), err instanceof Error ? err.stack : undefined)
    },
  }
}

function lineOf(fields: object, message: string): string {
  const { err, ...rest } = fields as { readonly err?: unknown }
  const error = err === undefined ? {} : { error: err instanceof Error ? err.message : err }
  const told = { ...rest, ...error }
  if (Object.keys(told).length === 0) return message
  const json = JSON.stringify(told, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  return `${message} ${json}`
}
