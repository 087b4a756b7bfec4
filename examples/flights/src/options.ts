import { parseArgs } from 'node:util'

/** What the example is asked to do. */
export interface Options {
  readonly all: boolean
  readonly fast: boolean
  readonly limit: number | undefined
  /** Serves the console, and stays after the check until it is told to end. */
  readonly console: boolean
}

/** How to call it. */
export const usage = `npm start [-- options]

Publishes real flight records, runs two worker processes, kills one, and checks every figure.

  --all      the 3,000,000 flights of 2001 instead of 20,000 (takes many minutes)
  --fast     as fast as it goes, instead of over 15 seconds
  --limit N  only the first N flights
  --console  opens the console in a browser's reach, and stays after the check until Ctrl-C
  --help     this text
`

/**
 * Reads the command line.
 *
 * @returns undefined when it asks for help.
 * @throws Error with what is wrong.
 */
export function readOptions(args: string[]): Options | undefined {
  const { values } = parseArgs({
    args,
    options: {
      all: { type: 'boolean', default: false },
      fast: { type: 'boolean', default: false },
      limit: { type: 'string' },
      console: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const { all, fast, console } = values
  if (values.limit === undefined) return { all, fast, console, limit: undefined }
  const limit = Number(values.limit)
  if (Number.isSafeInteger(limit) && limit > 0) return { all, fast, console, limit }
  throw new Error(`--limit needs a whole number above zero, not "${values.limit}"`)
}
