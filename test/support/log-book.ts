import type { Logger } from 'tidemark'

/** One line of a {@link LogBook}. */
export interface LogEntry {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

/** A logger that keeps what it is told, and tells when it has been told something. */
export class LogBook implements Logger {
  readonly entries: LogEntry[] = []
  readonly #waiting = new Set<() => void>()

  debug(fields: object, message: string): void {
    this.#write('debug', fields, message)
  }

  info(fields: object, message: string): void {
    this.#write('info', fields, message)
  }

  warn(fields: object, message: string): void {
    this.#write('warn', fields, message)
  }

  error(fields: object, message: string): void {
    this.#write('error', fields, message)
  }

  /** Resolves with the first entry whose message matches, also when it was written before. */
  async wrote(pattern: RegExp): Promise<LogEntry> {
    for (;;) {
      const found = this.entries.find(({ message }) => pattern.test(message))
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
  }

  #write(level: LogEntry['level'], fields: object, message: string): void {
    this.entries.push({ level, fields: fields as Record<string, unknown>, message })
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}
