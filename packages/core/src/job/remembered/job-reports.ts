import { writeLog } from '../../database/sql/job/job-memory.ts'
import { describeError } from '../../errors/describe-error.ts'
import { preview, storableText } from '../../errors/foreign-value.ts'
import { isTidemarkError } from '../../errors/tidemark-error.ts'
import { encodeValue } from '../../event/encoded/codec.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { lineOf, type LogLine } from '../../telemetry/safe-logger.ts'
import type { Attempt } from '../attempted/attempt.ts'
import type { JobProgress } from '../defined/job-context.ts'
import type { JobMemory } from './job-memory.ts'

interface StoredLine {
  /** When it was said, by a clock that is never set. */
  readonly said: number
  readonly level: string
  readonly message: string
  readonly fields: string
}

const flushInterval = 200
const mostLines = 1000
const mostText = 10_000
const mostFields = 100_000

/**
 * What a job says about itself while it runs. It is written a few times a second and once at the end, so that a job
 * may say as much as it likes.
 */
export class JobReports implements Logger {
  readonly #attempt: Attempt
  readonly #memory: JobMemory
  #progress: { readonly value: JobProgress } | undefined
  #lines: StoredLine[] = []
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

  // Jobs destructure their logger, and call it as they are used to: whatever they give makes a line, and none throws.
  readonly debug = (fields: unknown, message?: unknown): void => {
    this.#log('debug', lineOf(fields, message))
  }

  readonly info = (fields: unknown, message?: unknown): void => {
    this.#log('info', lineOf(fields, message))
  }

  readonly warn = (fields: unknown, message?: unknown): void => {
    this.#log('warn', lineOf(fields, message))
  }

  readonly error = (fields: unknown, message?: unknown): void => {
    this.#log('error', lineOf(fields, message))
  }

  /** Writes what has not been written yet. Never throws: what cannot be written any more is not missed. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(() => this.#write()).catch(() => {})
    await this.#writing
  }

  #log(level: keyof Logger, { fields, message }: LogLine): void {
    const { definition, job, environment } = this.#attempt
    environment.logger[level]({ job: job.id, name: definition.name, ...fields }, message)
    if (this.#lines.length >= mostLines) {
      this.#dropped += 1
      return
    }
    this.#lines.push({
      said: performance.now(),
      level,
      message: storableText(message, mostText),
      fields: storedFields(fields),
    })
    this.#schedule()
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => void this.flush(), flushInterval)
  }

  /** What cannot be stored of it is said in the log: a job does not fail for telling how far it is. */
  async #writeProgress(): Promise<void> {
    const progress = this.#progress
    this.#progress = undefined
    if (progress === undefined) return
    try {
      await this.#memory.saveProgress(progress.value)
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_JOB_LOST')) this.#log('warn', lineOf(error))
    }
  }

  async #write(): Promise<void> {
    await this.#writeProgress()
    const lines = this.#lines
    this.#lines = []
    if (this.#dropped > 0) {
      const message = `${this.#dropped} lines were not stored: more than ${mostLines} at once`
      lines.push({ said: performance.now(), level: 'warn', message, fields: '{}' })
      this.#dropped = 0
    }
    if (lines.length === 0) return
    await this.#attempt.write(writeLog, [
      // By the server's clock, as everything that is stored: that of this process may be wrong.
      lines.map(({ said }) => performance.now() - said),
      lines.map((line) => line.level),
      lines.map((line) => line.message),
      lines.map((line) => line.fields),
    ])
  }
}

function storedFields(fields: object): string {
  try {
    const { json } = encodeValue('the fields', plainErrors(fields))
    if (json.length <= mostFields) return json
  } catch {
    // In a few words then, as below: a log line must not fail the job that writes it.
  }
  return JSON.stringify({ unstorable: preview(fields) })
}

/** Errors among the fields, as they are stored everywhere else: an error of itself is `{}` in JSON. */
function plainErrors(fields: object): object {
  const plain: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) {
    plain[key] = value instanceof Error ? describeError(value) : value
  }
  return plain
}
