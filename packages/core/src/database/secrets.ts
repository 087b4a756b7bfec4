import { inspect } from 'node:util'
import type pg from 'pg'
import { parse } from 'pg-connection-string'
import { TidemarkError } from '../errors/tidemark-error.ts'

/**
 * What a connection string says, with its password behind a function: whoever prints a pool, a client or an error finds
 * none.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION when it is none; the error does not hold it either.
 */
export function readConnectionString(connectionString: string): pg.ClientConfig {
  if (connectionString === '') return {}
  // The driver would take all of it for the name of a database, and the server would repeat it.
  if (/^\s*\w+\s*=/u.test(connectionString)) throw unreadable('it has keys and values')
  try {
    return hidePassword(parse(connectionString) as unknown as pg.ClientConfig)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'it is not one'
    throw unreadable(reason.replaceAll(connectionString, '…'))
  }
}

function unreadable(reason: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `the connection string cannot be read: ${reason}`,
    {
      hint: 'For instance postgres://user:password@host:5432/database, with what is special in it escaped (%40 for @).',
    },
  )
}

/** The same configuration, with a password that is a text behind a function. */
export function hidePassword<Config extends pg.ClientConfig>(config: Config): Config {
  const { password } = config
  // An empty one lets the driver look in its environment.
  if (typeof password !== 'string' || password === '') return config
  return { ...config, password: () => password }
}

/** A connection string as it may be shown. */
function maskedConnectionString(connectionString: string): string {
  try {
    const url = new URL(connectionString)
    if (url.password !== '') url.password = '***'
    for (const name of url.searchParams.keys()) {
      // `options` may set anything, a key of an extension for instance.
      if (/pass|secret|token|key|^options$/iu.test(name)) url.searchParams.set(name, '***')
    }
    return url.href
  } catch {
    return '***'
  }
}

const connectionStrings = new Set(['connectionString', 'listenConnectionString'])

/**
 * Options that are printed and turned into JSON without their secrets: connection strings are masked, and of what is
 * neither a text, a number nor a boolean only its name is said.
 */
export function discreet<Options extends object>(options: Options): Options {
  const shown = (): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(options as Record<string, unknown>).map(([name, value]) => [
        name,
        connectionStrings.has(name) && typeof value === 'string'
          ? maskedConnectionString(value)
          : inOneWord(value),
      ]),
    )
  return Object.freeze(
    Object.defineProperties(
      { ...options },
      {
        toJSON: { value: shown },
        [inspect.custom]: { value: shown },
      },
    ),
  )
}

function inOneWord(value: unknown): unknown {
  if (typeof value === 'function') return '[function]'
  if (Array.isArray(value)) return `[${value.length} of them]`
  return typeof value === 'object' && value !== null ? '[object]' : value
}
