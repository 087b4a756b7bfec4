import { parseArgs } from 'node:util'

/** What a benchmark run is asked to do. */
export interface BenchOptions {
  /** Which benchmarks, in order. */
  readonly names: readonly string[]
  /** How many clients or callers publish at once. */
  readonly clients: number
  /** How long one measurement of one case lasts, where it is bounded by time. */
  readonly seconds: number
  /** How long the soak lasts. */
  readonly minutes: number
  /** How often each case is measured; the cases take turns. */
  readonly runs: number
  /** How many events there are to read, where a measurement is bounded by events; undefined for each benchmark's own. */
  readonly events: number | undefined
  /** How much longer a commit takes than the disk needs, in milliseconds. */
  readonly commitDelay: number
  /** Only the cases whose name contains this. */
  readonly only: string | undefined
  readonly json: boolean
}

/** A mistake of whoever runs the benchmarks, told without a stack. */
export class UsageError extends Error {}

/** The help text. */
const usage = `Usage: npm run bench -- <name>… [options]

Names:
  publish    one event a transaction, coalesced and bulk publishing, against a bare INSERT
  tail       following the outbox with 1 and with 30 listeners, against the driver's read
  listener   one upsert an event, against the driver doing the same
  replay     a state projection from sequence zero, against the driver's read
  latency    commit to effect committed, at fixed rates
  jobs       durable jobs, empty and with one row each, against graphile-worker
  claims     what a claim costs beside jobs that cannot be claimed, and how soon a job starts
  soak       rollbacks, two workers, a connection killed each second: once and in order, memory flat
  all        all of them but the soak

Options:
  --clients n         clients or callers that publish at once (default 32)
  --seconds n         length of one measurement that is bounded by time (default 3; latency: times 3)
  --minutes n         length of the soak (default 10)
  --runs n            measurements of each case, taking turns: A B A B … (default 5)
  --events n          events of one measurement that is bounded by events
  --commit-delay 2ms  makes every commit that much slower, as a slower disk would
  --only text         only the cases whose name contains the text, and what they are compared with
  --json              print JSON instead of tables
`

/**
 * Reads the command line.
 *
 * @param args - what follows the script's name.
 * @param known - the names of the benchmarks.
 * @throws UsageError
 */
export function parseOptions(args: readonly string[], known: readonly string[]): BenchOptions {
  const { values, positionals } = parse(args)
  if (values.help === true || positionals.length === 0) throw new UsageError(usage)
  const names = positionals.includes('all') ? known.filter((name) => name !== 'soak') : positionals
  const stray = names.find((name) => !known.includes(name))
  if (stray !== undefined) {
    throw new UsageError(`there is no benchmark "${stray}": it is one of ${known.join(', ')}, all`)
  }
  return {
    names,
    clients: positive('clients', values.clients) ?? 32,
    seconds: positive('seconds', values.seconds) ?? 3,
    minutes: positive('minutes', values.minutes) ?? 10,
    runs: positive('runs', values.runs) ?? 5,
    events: positive('events', values.events),
    commitDelay: positive('commit-delay', values['commit-delay']?.replace(/ms$/u, '')) ?? 0,
    only: values.only,
    json: values.json === true,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        clients: { type: 'string' },
        seconds: { type: 'string' },
        minutes: { type: 'string' },
        runs: { type: 'string' },
        events: { type: 'string' },
        'commit-delay': { type: 'string' },
        only: { type: 'string' },
        json: { type: 'boolean' },
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
