import { milliseconds, rejectUnknownOptions, TidemarkError, type Duration } from 'tidemark'
import type { ServiceLimits } from '../served/limits.ts'

/** The backends that a service can open by itself. */
export const serviceBackends = ['memory', 'postgres', 'redis', 's3', 'dynamodb'] as const

/** One of them. */
export type ServiceBackend = (typeof serviceBackends)[number]

/** Everything that can be set of a state service: in a file, in the environment, and by flags. */
export interface ServiceSettings extends Partial<ServiceLimits> {
  /** The path of the socket. */
  readonly socket?: string
  /** Defaults to `memory`. */
  readonly backend?: ServiceBackend
  /** Of Redis, of Postgres, of a bucket, or of another endpoint of DynamoDB than the region's. Defaults to REDIS_URL and DATABASE_URL for the first two. */
  readonly url?: string
  /** What all keys or names of objects begin with. */
  readonly prefix?: string
  /** Of Tidemark's tables, with `postgres`. */
  readonly schema?: string
  /** The table, with `dynamodb`. Defaults to `tidemark-states`. */
  readonly table?: string
  /** Keeps the states of several stores apart, with `postgres` and `dynamodb`. */
  readonly name?: string
  /** With `s3` and `dynamodb`. Defaults to what AWS's own tools would use: AWS_REGION, the profile; else, with `s3`, `us-east-1`. */
  readonly region?: string
  /** How long an operation of the backend may take. Defaults to 5 s. */
  readonly timeout?: Duration
  /** How long token and version are remembered after a state's end. Defaults to a day. */
  readonly remember?: Duration
  /** How often the store is swept. Defaults to a minute. */
  readonly sweepEvery?: Duration
}

/** How a setting is written. */
export interface Setting {
  readonly name: keyof ServiceSettings
  readonly kind: 'text' | 'backend' | 'duration' | 'whole'
}

const kinds: Readonly<Record<keyof ServiceSettings, Setting['kind']>> = {
  socket: 'text',
  backend: 'backend',
  url: 'text',
  prefix: 'text',
  schema: 'text',
  table: 'text',
  name: 'text',
  region: 'text',
  timeout: 'duration',
  remember: 'duration',
  sweepEvery: 'duration',
  lineBytes: 'whole',
  clients: 'whole',
  requestsPerSecond: 'whole',
  pipelined: 'whole',
  stallTimeout: 'duration',
}

/** All settings: flags, variables and the keys of the file are made from this list. */
export const settings: readonly Setting[] = (Object.keys(kinds) as (keyof ServiceSettings)[]).map(
  (name) => ({ name, kind: kinds[name] }),
)

/** The variable that names the file. */
export const configVariable = 'TIDEMARK_STATE_CONFIG'

/** The name of a setting as a variable of the environment: `TIDEMARK_STATE_SWEEP_EVERY`. */
export function variableOf({ name }: Pick<Setting, 'name'>): string {
  return `TIDEMARK_STATE_${words(name).join('_').toUpperCase()}`
}

/** The name of a setting as a flag, without dashes before it: `sweep-every`. */
export function flagOf({ name }: Pick<Setting, 'name'>): string {
  return words(name).join('-').toLowerCase()
}

function words(name: string): string[] {
  return name.split(/(?=[A-Z])/u)
}

/**
 * What is set in one place, checked.
 *
 * @param where - the place, for messages.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function checkedSettings(where: string, given: unknown): ServiceSettings {
  if (given === null || given === undefined) return {}
  if (typeof given !== 'object' || Array.isArray(given)) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} must be an object of settings`)
  }
  rejectUnknownOptions(
    where,
    given,
    settings.map(({ name }) => name),
  )
  return Object.fromEntries(
    settings.flatMap((known) => {
      const value = (given as Record<string, unknown>)[known.name]
      if (value === undefined || value === null) return []
      return [[known.name, checked(where, known, value)]]
    }),
  )
}

/**
 * What the environment sets. An empty variable sets nothing.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION, also for a variable that would be one of these if it were not misspelt.
 */
export function settingsOfEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): ServiceSettings {
  const ours = Object.keys(env).filter((name) => name.startsWith('TIDEMARK_STATE_'))
  rejectUnknownOptions('the environment', Object.fromEntries(ours.map((name) => [name, ''])), [
    ...settings.map(variableOf),
    configVariable,
  ])
  const given = Object.fromEntries(
    settings.flatMap((known) => {
      const value = env[variableOf(known)]
      return value === undefined || value === '' ? [] : [[known.name, value]]
    }),
  )
  return checkedSettings('the environment (TIDEMARK_STATE_…)', given)
}

function checked(where: string, { name, kind }: Setting, value: unknown): unknown {
  const wrong = (problem: string): TidemarkError =>
    new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "${name}" ${problem}`, {
      details: { option: name },
    })
  switch (kind) {
    case 'text':
      if (typeof value !== 'string' || value === '') throw wrong('must be a text')
      return value
    case 'backend':
      if (!serviceBackends.includes(value as ServiceBackend)) {
        throw wrong(`must be one of ${serviceBackends.join(', ')}`)
      }
      return value
    case 'whole': {
      const number = typeof value === 'string' && /^\d+$/u.test(value) ? Number(value) : value
      if (!Number.isSafeInteger(number)) throw wrong('must be a whole number')
      return number
    }
    case 'duration': {
      const plain = typeof value === 'string' && /^\d+$/u.test(value) ? Number(value) : value
      try {
        return Math.round(milliseconds(plain as Duration))
      } catch (cause) {
        throw Object.assign(wrong("must be a length of time: '30s', or milliseconds"), { cause })
      }
    }
  }
}
