import { writeLog } from '../../database/sql/job/job-memory.ts'
import { encodeValue } from '../../event/codec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { JobProgress } from '../defined/job-context.ts'
import type { JobMemory } from './job-memory.ts'

interface LogLine {
  readonly at: Date
  readonly level: string
  readonly message: string
  readonly fields: string
}

const flushInterval = 200
const mostLines = 1000

/**
 * What a job says about itself while it runs. It is written a few times a second and once at the end, so that a job
 * may say as much as it likes.
 */
export class JobReports implements Logger {
  readonly #attempt: Attempt
  readonly #memory: JobMemory
  #progress: { readonly value: JobProgress } | undefined
  #lines: LogLine[] = []
  #dropped = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(attempt: Attempt, memory: JobMemory) {
    this.#attempt = attempt
    this.#memory = memory
  }

  progress(value: JobProgress): void {
    this.#progress = { value }
    this.#schedule()
  }

  debug(fields: object, message: string): void {
    this.#log('debug', fields, message)
  }

  info(fields: object, message: string): void {
    this.#log('info', fields, message)
  }

  warn(fields: object, message: string): void {
    this.#log('warn', fields, message)
  }

  error(fields: object, message: string): void {
    this.#log('error', fields, message)
  }

  /** Writes what has not been written yet. What cannot be written any more is not missed. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(() => this.#write()).catch(() => {})
    await this.#writing
  }

  #log(level: 'debug' | 'info' | 'warn' | 'error', fields: object, message: string): void {
    const { definition, job, environment } = this.#attempt
    environment.logger[level]({ job: job.id, name: definition.name, ...fields }, message)
    if (this.#lines.length >= mostLines) {
      this.#dropped += 1
      return
    }
    this.#lines.push({
      at: new Date(),
      level,
      message: storable(message),
      fields: storedFields(fields),
    })
    this.#schedule()
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => void this.flush(), flushInterval)
  }

  async #write(): Promise<void> {
    const progress = this.#progress
    this.#progress = undefined
    if (progress !== undefined) await this.#memory.saveProgress(progress.value)
    const lines = this.#lines
    this.#lines = []
    if (this.#dropped > 0) {
      const message = `${this.#dropped} lines were not stored: more than ${mostLines} at once`
      lines.push({ at: new Date(), level: 'warn', message, fields: '{}' })
      this.#dropped = 0
    }
    if (lines.length === 0) return
    await this.#attempt.write(writeLog, [
      lines.map((line) => line.at),
      lines.map((line) => line.level),
      lines.map((line) => line.message),
      lines.map((line) => line.fields),
    ])
  }
}

function storable(text: string): string {
  return text.slice(0, 10_000).toWellFormed().replaceAll('\0', '\u2400')
}

function storedFields(fields: object): string {
  try {
    return encodeValue('the fields', fields).json
  } catch {
    // A log line must not fail the job that writes it.
    return JSON.stringify({ unstorable: true })
  }
}
