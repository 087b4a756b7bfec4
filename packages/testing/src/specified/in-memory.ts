import { setImmediate } from 'node:timers/promises'
import {
  kyselyOn,
  storedAndRead,
  type Db,
  type EventDraft,
  type JobDefinition,
  type PublishOptions,
  type SendableQuery,
  type Spawn,
  type SpawnOptions,
  type Transaction,
} from 'tidemark'
import { TestingError } from '../testing-error.ts'

/** A statement that was sent to no database. */
export interface SentStatement {
  readonly sql: string
  readonly values: readonly unknown[]
}

/** A job that was spawned nowhere. */
export interface SpecifiedSpawn {
  readonly name: string
  readonly input: unknown
  readonly options: SpawnOptions
}

/** The rows that a statement is answered with. */
export type Answer = (sql: string, values: readonly unknown[]) => readonly Row[] | undefined

type Row = Readonly<Record<string, unknown>>

/** What stands for the transaction of a handler or a command: it notes what it is asked for. */
export class InMemoryTransaction {
  readonly published: { readonly draft: EventDraft; readonly options: PublishOptions }[] = []
  readonly spawned: SpecifiedSpawn[] = []
  readonly statements: SentStatement[] = []
  readonly db: Db
  readonly #owner: string
  readonly #answer: Answer | undefined
  #underWay = 0
  #ended = false

  /**
   * @param db - the application's own, bound to nothing; undefined: a Kysely whose statements are noted.
   */
  constructor(owner: string, answer: Answer | undefined, db: unknown) {
    this.#owner = owner
    this.#answer = answer
    this.db = (db ?? kyselyOn({ query: this.query }, true)) as Db
  }

  readonly query: Transaction['query'] = async (sql, values = []) => {
    this.#admit('a statement')
    this.statements.push({ sql, values })
    const rows = this.#answer?.(sql, values) ?? (asksForRows(sql) ? undefined : [])
    if (rows === undefined) {
      throw new TestingError(
        'TIDEMARK_TESTING_UNSUPPORTED',
        `${this.#owner} asks the database, and nothing says what it answers: ${sql}`,
        'Give specify `answer: (sql, values) => rows`; or test it on a database, with given.',
      )
    }
    // Later, as every server answers: so that a statement that nobody awaits is found.
    this.#underWay += 1
    await setImmediate()
    this.#underWay -= 1
    return { rows, rowCount: rows.length }
  }

  readonly send = (query: string | SendableQuery, values: readonly unknown[] = []): void => {
    this.#admit('a statement')
    const statement =
      typeof query === 'string'
        ? { sql: query, values }
        : { sql: query.compile().sql, values: query.compile().parameters }
    this.statements.push(statement)
  }

  readonly publish = (
    drafts: EventDraft | readonly EventDraft[],
    options: PublishOptions = {},
  ): void => {
    this.#admit('an event')
    for (const draft of [drafts].flat()) this.published.push({ draft, options })
  }

  readonly spawn: Spawn = async (
    job: string | { readonly name: string },
    input: unknown,
    options: SpawnOptions = {},
  ) => {
    this.#admit('a job')
    const schema = typeof job === 'string' ? undefined : (job as Partial<JobDefinition>).schemas
    const checked = schema === undefined ? input : storedAndRead(schema.input, input)
    this.spawned.push({ name: typeof job === 'string' ? job : job.name, input: checked, options })
    const id = options.id ?? crypto.randomUUID()
    return { id, duplicate: false, outcome: 'spawned' as const }
  }

  /** @throws TestingError when something was not awaited: on a database it might not commit. */
  end(): void {
    this.#ended = true
    if (this.#underWay === 0) return
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      `${this.#owner} returned before its statements had ended`,
      'Await them, or give them to `send`.',
    )
  }

  #admit(what: string): void {
    if (!this.#ended) return
    throw new TestingError(
      'TIDEMARK_TESTING_UNSUPPORTED',
      `${this.#owner} has returned, and ${what} came after`,
      'Await everything that the handler begins.',
    )
  }
}

function asksForRows(sql: string): boolean {
  return /^\s*(?:select|with|values|table|show)\b|\breturning\b/iu.test(sql)
}
