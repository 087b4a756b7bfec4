import { createLogUpdate } from 'log-update'
import type { App, JobCount, ListenerStatus } from 'tidemark'
import type { CliIo } from '../io.ts'
import { cell, count, Output, plural } from '../output/output.ts'

/** How things stand in the database of `tidemark dev`. */
export interface DevView {
  readonly listeners: readonly ListenerStatus[]
  readonly jobs: readonly JobCount[]
  /** The newest errors: what failed, and how. */
  readonly errors: readonly { readonly what: string; readonly message: string }[]
}

/** What the screen shows besides the view. */
export interface DevScreenOptions {
  readonly url: string
  /** Answers how things stand; what it throws is shown: the tables may not be there yet. */
  readonly look: () => Promise<DevView>
}

const period = 1000
const mostErrors = 3

/**
 * Keeps how things stand at the bottom of the terminal, and lets what is printed go by above it. Without a terminal it shows
 * nothing.
 */
export class DevScreen implements Disposable {
  /** What is to be printed with, for as long as the screen is there. */
  readonly io: CliIo
  readonly #plain: CliIo
  readonly #options: DevScreenOptions
  readonly #output: Output
  readonly #update: ReturnType<typeof createLogUpdate> | undefined
  #timer: NodeJS.Timeout | undefined
  #shown = ''
  #line = ''

  constructor(io: CliIo, options: DevScreenOptions) {
    this.#plain = io
    this.#options = options
    this.#output = new Output({ ...io, colors: { ...io.colors, stdout: io.colors.stderr } }, false)
    this.#update = io.terminal === undefined ? undefined : updateOf(io, io.terminal)
    this.io = this.#update === undefined ? io : { ...io, stderr: (text) => this.#above(text) }
    if (this.#update !== undefined) this.#next(0)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#line !== '') this.#above('\n')
    this.#update?.done()
  }

  #next(delay: number): void {
    this.#timer = setTimeout(() => void this.#draw(), delay)
  }

  async #draw(): Promise<void> {
    let text: string
    try {
      text = devText(this.#output, this.#options.url, await this.#options.look())
    } catch (error) {
      text = `${this.#options.url}\n${reasonOf(error)}`
    }
    if (this.#timer === undefined) return
    this.#shown = `\n${text}`
    this.#update?.(this.#shown)
    this.#next(period)
  }

  /** Prints whole lines above what is shown: the rest of a line would be overwritten by it. */
  #above(text: string): void {
    const printed = this.#line + text
    const end = printed.lastIndexOf('\n') + 1
    this.#line = printed.slice(end)
    if (end === 0) return
    this.#update?.clear()
    this.#plain.stderr(printed.slice(0, end))
    if (this.#shown !== '') this.#update?.(this.#shown)
  }
}

/** How things stand, from an application without definitions. */
export async function lookForDev(app: App): Promise<DevView> {
  const [listeners, jobs, failed] = await Promise.all([
    app.listeners.list(),
    app.jobs.counts(),
    app.jobs.list({ status: 'failed', limit: mostErrors }),
  ])
  const errors = [
    ...listeners.flatMap(({ name, partitions }) =>
      partitions.flatMap(({ lastError }) =>
        lastError === null ? [] : [{ what: name, message: messageOf(lastError) }],
      ),
    ),
    ...failed.map(({ name, error }) => ({ what: name, message: messageOf(error) })),
  ]
  return { listeners, jobs, errors: errors.slice(0, mostErrors) }
}

/** The view as text, as wide as the terminal. */
function devText(output: Output, url: string, { listeners, jobs, errors }: DevView): string {
  const { dim, red, green, yellow, cyan } = output.colors
  const paint = { active: green, paused: yellow, halted: red, rebuilding: cyan }
  return [
    dim(url),
    ...(listeners.length === 0
      ? []
      : [
          output.table(listeners, [
            { heading: 'LISTENER', value: ({ name }) => name },
            {
              heading: 'STATUS',
              value: ({ status }) => status,
              paint: (text, { status }) => paint[status](text),
            },
            { heading: 'CURSOR', value: ({ cursor }) => cursor, align: 'right' },
            { heading: 'LAG', value: ({ lag }) => lag, align: 'right' },
            { heading: 'SET ASIDE', value: ({ deadLetters }) => deadLetters, align: 'right' },
          ]),
        ]),
    `${dim('jobs')}  ${jobsText(jobs)}`,
    ...errors.map(({ what, message }) => `${red('error')} ${cell(`${what}: ${message}`)}`),
  ].join('\n')
}

/** Why there is nothing to show: before the first worker has migrated there are no tables. */
function reasonOf(error: unknown): string {
  const { code, message } = error as { readonly code?: unknown; readonly message: string }
  return code === 'TIDEMARK_MIGRATION_REQUIRED' ? 'no tables yet' : cell(message.split('\n')[0])
}

function jobsText(jobs: readonly JobCount[]): string {
  const byStatus = new Map<string, number>()
  for (const { status, jobs: number } of jobs) {
    byStatus.set(status, (byStatus.get(status) ?? 0) + number)
  }
  const parts = [...byStatus].map(([status, number]) => `${count(number)} ${status}`)
  return parts.join(', ') || plural(0, 'job')
}

function messageOf(error: { readonly message: string; readonly cause?: unknown } | null): string {
  const cause = error?.cause as { readonly message?: string } | null | undefined
  return cause?.message ?? error?.message ?? 'unknown'
}

function updateOf(
  io: CliIo,
  terminal: NonNullable<CliIo['terminal']>,
): ReturnType<typeof createLogUpdate> {
  const stream = {
    isTTY: true,
    // As it is now: windows are resized.
    get columns() {
      return terminal.columns
    },
    get rows() {
      return terminal.rows
    },
    write: (text: string) => io.stderr(text),
  }
  return createLogUpdate(stream as unknown as NodeJS.WriteStream, { showCursor: true })
}
