import { isTidemarkError, type Logger } from 'tidemark'
import type { StateStore } from '../contract/state-store.ts'
import { stateOf, type RunRecord } from './run-record.ts'

// Ends that wait for a store that is away: more are only in the log.
const mostWaiting = 1_000

/** Writes down what becomes of runs, and that they go on. */
export class RunNotes {
  readonly #store: StateStore<RunRecord>
  readonly #heartbeat: number
  readonly #logger: Logger
  readonly #running = new Map<string, RunRecord>()
  readonly #waiting = new Map<string, { readonly record: RunRecord; readonly until: number }>()
  #timer: NodeJS.Timeout | undefined
  #beating = false

  constructor(store: StateStore<RunRecord>, heartbeat: number, logger: Logger) {
    this.#store = store
    this.#heartbeat = heartbeat
    this.#logger = logger
  }

  async begin(record: RunRecord): Promise<void> {
    this.#running.set(record.id, record)
    this.#beat()
    // Created, not put: one that was given up and comes late must not hide the end.
    await this.#note(record, () => this.#store.create(record.id, stateOf(record, null)))
  }

  async end(record: RunRecord, retention: number): Promise<void> {
    const { id } = record
    this.#running.delete(id)
    const until = Date.now() + retention
    if ((await this.#noteEnd(record, until)) || this.#waiting.size >= mostWaiting) return
    this.#waiting.set(id, { record, until })
    this.#beat()
  }

  /** A timer only while there is something to say, which keeps no process alive. */
  #beat(): void {
    this.#timer ??= setInterval(() => void this.#sayAll(), this.#heartbeat).unref()
  }

  async #sayAll(): Promise<void> {
    if (this.#beating) return
    this.#beating = true
    for (const record of this.#running.values()) await this.#goesOn(record)
    for (const [id, { record, until }] of this.#waiting) {
      if (!(await this.#noteEnd(record, until))) break
      this.#waiting.delete(id)
    }
    this.#beating = false
    if (this.#running.size > 0 || this.#waiting.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #goesOn(record: RunRecord): Promise<void> {
    try {
      const { version } = (await this.#store.get(record.id)) ?? { version: undefined }
      // It may have ended since: what says so is a later version.
      if (!this.#running.has(record.id)) return
      if (version === undefined) await this.#store.create(record.id, stateOf(record, null))
      else await this.#store.update(record.id, {}, { ifVersion: version })
    } catch (error) {
      const { id, name } = record
      this.#logger.debug({ run: id, name, err: error }, `${name}: that it goes on is not stored`)
    }
  }

  /** Answers false when it is to be tried again. */
  async #noteEnd(record: RunRecord, until: number): Promise<boolean> {
    const put = (what: RunRecord) => (): Promise<unknown> =>
      this.#store.put(what.id, stateOf(what, Math.max(1, until - Date.now())))
    const problem = await this.#note(record, put(record))
    // How it ended is known also where what it answered cannot be stored.
    if (problem === 'refused' && record.output !== undefined) {
      return (await this.#note(record, put({ ...record, output: undefined }))) !== 'away'
    }
    return problem !== 'away'
  }

  /** What came of it: undefined when it is stored. */
  async #note(
    { id, name, status }: RunRecord,
    write: () => Promise<unknown>,
  ): Promise<'away' | 'refused' | undefined> {
    try {
      await write()
      return undefined
    } catch (error) {
      const fields = { run: id, name, status, err: error }
      this.#logger.warn(fields, `${name}: the run is not in the history`)
      return isTidemarkError(error, 'TIDEMARK_STORE_UNAVAILABLE') ? 'away' : 'refused'
    }
  }
}
