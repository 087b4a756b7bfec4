import { text } from 'node:stream/consumers'

/** What somebody at a terminal is asked. */
export interface Question {
  readonly question: string
  readonly options: readonly string[]
  /** What Enter answers. */
  readonly initial: string
}

/** Everything the command line touches outside of itself, so that tests and other programs can run it in process. */
export interface CliIo {
  /** Takes results. */
  readonly stdout: (text: string) => void
  /** Takes progress, logs and errors. */
  readonly stderr: (text: string) => void
  /** Reads standard input to its end. */
  readonly stdin: () => Promise<string>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Where the search for the config starts, and where `init` writes. */
  readonly cwd: string
  /** How many characters fit on a line of a terminal; undefined: there is none, and nothing is cut. */
  readonly columns?: number | undefined
  /** The size of the terminal that stderr is; undefined: it is none, and nothing is drawn there. */
  readonly terminal?: { readonly columns: number; readonly rows: number } | undefined
  readonly colors: { readonly stdout: boolean; readonly stderr: boolean }
  /**
   * Asks the person at the terminal to choose one of several; undefined is answered by one who gives up. Without it nobody
   * is there, and nobody is asked.
   */
  readonly choose?: ((choice: Question) => Promise<string | undefined>) | undefined
  /**
   * Asks to hear of SIGTERM and SIGINT from now on, instead of being ended by them, and of the end of a parent that
   * it has a channel to. Only commands that have something to finish ask.
   */
  readonly stopSignal: () => AbortSignal
  /**
   * Asks to be told, from now on, of errors that nothing has caught, instead of being ended by them: in the asynchronous
   * context of the code that threw. Defaults to nothing.
   */
  readonly onUncaught?: (listener: (error: unknown) => void) => void
  /** Called when a worker runs, for a parent that waits for it. Defaults to nothing. */
  readonly ready?: () => void
}

/** The command line's surroundings in a process of its own. */
export function processIo(): CliIo {
  const { stdout, stderr, env } = process
  return {
    stdout: (chunk) => void stdout.write(chunk),
    stderr: (chunk) => void stderr.write(chunk),
    stdin: () => text(process.stdin),
    env,
    cwd: process.cwd(),
    columns: stdout.isTTY ? stdout.columns : undefined,
    terminal: stderr.isTTY && env['TERM'] !== 'dumb' ? stderr : undefined,
    colors: { stdout: wantsColors(stdout), stderr: wantsColors(stderr) },
    choose: process.stdin.isTTY && stdout.isTTY && !env['CI'] ? askAtTerminal : undefined,
    stopSignal: onceStopped,
    // A promise that rejects and is handled by nobody comes here, too.
    onUncaught: (listener) => void process.on('uncaughtException', listener),
    // What process managers that start a worker with a channel understand, and `tidemark dev`.
    ready: () => void process.send?.('ready'),
  }
}

// https://no-color.org: any value but the empty one turns colours off.
function wantsColors(stream: { readonly isTTY?: boolean }): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0') return true
  return stream.isTTY === true && TERM !== 'dumb'
}

/** Aborts on the first SIGTERM or SIGINT; the next one does what it always does. Without its parent it ends too. */
function onceStopped(): AbortSignal {
  const stopped = new AbortController()
  const signals = ['SIGTERM', 'SIGINT'] as const
  const onSignal = (): void => {
    for (const signal of signals) process.off(signal, onSignal)
    process.off('disconnect', onSignal)
    stopped.abort()
  }
  if (process.connected) process.on('disconnect', onSignal)
  for (const signal of signals) process.on(signal, onSignal)
  return stopped.signal
}

async function askAtTerminal({
  question,
  options,
  initial,
}: Question): Promise<string | undefined> {
  const { isCancel, select } = await import('@clack/prompts')
  const answer = await select({
    message: question,
    options: options.map((value) => ({ value })),
    initialValue: initial,
  })
  return isCancel(answer) ? undefined : answer
}
