import { parseArgs } from 'node:util'

/** How a benchmark is to measure. */
export interface BenchOptions {
  /** How many clients or callers publish at once. */
  readonly clients: number
  /** The numbers of publishers that are compared. */
  readonly publishers: readonly number[]
  /** The numbers of listeners that are compared. */
  readonly listeners: readonly number[]
  /** How long one measurement of one case lasts, where it is bounded by time. */
  readonly seconds: number
  /** How long the soak lasts. */
  readonly minutes: number
  /** How often each case is measured; the cases take turns. */
  readonly runs: number
  /** How many events there are to read, where a measurement is bounded by events; undefined for each benchmark's own. */
  readonly events: number | undefined
  /** How much longer a commit takes than the disk needs, in milliseconds: each of these, one after the other. */
  readonly commitDelays: readonly number[]
  /** Only the cases whose name contains this. */
  readonly only: string | undefined
}

/** What holds where neither the command line nor the benchmark says otherwise. */
export const defaultOptions: BenchOptions = {
  clients: 32,
  publishers: [1, 8, 32, 64],
  listeners: [1, 10, 30, 100],
  seconds: 3,
  minutes: 10,
  runs: 5,
  events: undefined,
  commitDelays: [0],
  only: undefined,
}

/** What the command line asks for. */
export type Request =
  | { readonly kind: 'help'; readonly names: readonly string[] }
  | {
      readonly kind: 'measure'
      readonly names: readonly string[]
      readonly options: Partial<BenchOptions>
      readonly json: boolean
      readonly write: boolean
      /** The folder for the results; undefined for the usual one. */
      readonly out: string | undefined
    }
  /** Draws the charts of results again. */
  | { readonly kind: 'plot'; readonly names: readonly string[] }
  /** Prints results as Markdown, or puts them into the page. */
  | { readonly kind: 'tables'; readonly names: readonly string[]; readonly write: boolean }

/** A mistake of whoever runs the benchmarks, told without a stack. */
export class UsageError extends Error {}

/**
 * Reads the command line.
 *
 * @param args - what follows the script's name.
 * @param known - the names of the benchmarks.
 * @throws UsageError
 */
export function parseRequest(args: readonly string[], known: readonly string[]): Request {
  const { values, positionals } = parse(args)
  const [first, ...rest] = positionals
  const verb = first === 'plot' || first === 'tables' ? first : 'measure'
  const names = namesOf(verb === 'measure' ? positionals : rest, known)
  const write = values.write === true
  if (values.help === true) return { kind: 'help', names }
  if (verb === 'plot') return { kind: verb, names: names.length === 0 ? known : names }
  if (verb === 'tables') return { kind: verb, names: names.length === 0 ? known : names, write }
  if (names.length === 0) throw new UsageError('')
  return {
    kind: 'measure',
    names,
    options: optionsOf(values),
    json: values.json === true,
    write,
    out: values.out,
  }
}

function namesOf(names: readonly string[], known: readonly string[]): readonly string[] {
  const stray = names.find((name) => name !== 'all' && !known.includes(name))
  if (stray !== undefined) {
    throw new UsageError(`there is no benchmark "${stray}": it is one of ${known.join(', ')}, all`)
  }
  return names.includes('all') ? known : names
}

function optionsOf(values: ReturnType<typeof parse>['values']): Partial<BenchOptions> {
  const delay = values['commit-delay']?.replaceAll('ms', '')
  const options = {
    clients: positive('clients', values.clients),
    publishers: list('publishers', values.publishers, 1),
    listeners: list('listeners', values.listeners, 1),
    seconds: positive('seconds', values.seconds),
    minutes: positive('minutes', values.minutes),
    runs: positive('runs', values.runs),
    events: positive('events', values.events),
    commitDelays: list('commit-delay', delay, 0),
    only: values.only,
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        clients: { type: 'string' },
        publishers: { type: 'string' },
        listeners: { type: 'string' },
        seconds: { type: 'string' },
        minutes: { type: 'string' },
        runs: { type: 'string' },
        events: { type: 'string' },
        'commit-delay': { type: 'string' },
        only: { type: 'string' },
        json: { type: 'boolean' },
        write: { type: 'boolean' },
        out: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function positive(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new UsageError(`--${name} must be a number above zero, not "${text}"`)
}

function list(name: string, text: string | undefined, least: number): number[] | undefined {
  if (text === undefined) return undefined
  const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  if (numbers.every((value) => Number.isFinite(value) && value >= least)) return numbers
  throw new UsageError(
    `--${name} must be numbers from ${least} on, separated by commas, not "${text}"`,
  )
}
