import type pg from 'pg'
import { isConnectionError } from '../errors/postgres-error.ts'
import type { ConnectionPool } from './given/given-pool.ts'
import { ownTypes } from './given/own-types.ts'
import { preparedName } from './sent/prepared-names.ts'

/** A statement that was asked, and what its columns are. */
interface Question {
  readonly key: string
  readonly text: string
  readonly values: readonly unknown[]
  readonly columns: readonly { readonly name: string; readonly dataTypeID: number }[]
}

interface Batch {
  readonly questions: readonly Question[]
  readonly text: string
  readonly values: unknown[]
}

type Answer = Promise<pg.QueryResult>

// After a statement of all together has failed, and not each for itself, in milliseconds.
const apartFor = 60_000
const boolType = 16

/**
 * Reads that are made again and again in the same words, as one statement: the first time each is asked for itself, and from then
 * on all are asked at once before the work begins, which finds the answers there. What is asked twice is asked once. All
 * answers are of one moment.
 *
 * Only what begins with SELECT or WITH is gathered; what differs from one time to the next is asked for itself.
 */
export class Together implements ConnectionPool {
  readonly #pool: ConnectionPool
  readonly #prepares: boolean
  readonly #batches = new Map<string, Batch>()
  #answers: Map<string, Answer> | undefined
  #asked = new Map<string, Question>()
  #apartUntil = -Infinity
  #turn: Promise<unknown> = Promise.resolve()

  constructor(pool: ConnectionPool, prepares: boolean) {
    this.#pool = pool
    this.#prepares = prepares
  }

  get most(): number {
    return this.#pool.most
  }

  get waiting(): number {
    return this.#pool.waiting
  }

  /**
   * Runs work whose reads are made together, one after another of those that are begun at once.
   *
   * @param occasion - what is the same in each time that the same is read.
   */
  during<T>(occasion: string, work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#work(occasion, work))
    // Whoever is next waits for the end of it, whichever that is; the caller is told.
    this.#turn = turn.catch(() => {})
    return turn
  }

  connect(): Promise<pg.PoolClient> {
    return this.#pool.connect()
  }

  query(config: pg.QueryConfig): Promise<pg.QueryResult> {
    const answers = this.#answers
    if (
      answers === undefined ||
      'rowMode' in config ||
      !/^\s*(?:select|with)\b/iu.test(config.text)
    )
      return this.#pool.query(config)
    const key = keyOf(config)
    const known = answers.get(key)
    if (known !== undefined) return known
    const answer = this.#pool.query(config)
    answers.set(key, answer)
    return answer.then((result) => {
      const { text, values = [] } = config
      this.#asked.set(key, { key, text, values, columns: result.fields })
      return result
    })
  }

  /** The connections are the pool's. */
  async end(): Promise<void> {}

  async #work<T>(occasion: string, work: () => Promise<T>): Promise<T> {
    const batch = this.#batches.get(occasion)
    this.#answers = new Map()
    this.#asked = new Map()
    try {
      if (batch !== undefined && performance.now() >= this.#apartUntil) await this.#ask(batch)
      const result = await work()
      if (this.#asked.size > 0) this.#batches.set(occasion, batchOf(batch, this.#asked))
      return result
    } catch (error) {
      // What failed may be what was learnt.
      this.#batches.delete(occasion)
      throw error
    } finally {
      this.#answers = undefined
    }
  }

  async #ask({ questions, text, values }: Batch): Promise<void> {
    const name = this.#prepares ? preparedName(text) : undefined
    let rows: readonly Record<string, unknown>[]
    try {
      ;({ rows } = await this.#pool.query({
        text,
        values,
        types: ownTypes,
        ...(name === undefined ? {} : { name }),
      }))
    } catch (error) {
      if (isConnectionError(error)) throw error
      // One of them cannot be asked any more, and says so itself.
      this.#apartUntil = performance.now() + apartFor
      return
    }
    for (const [index, question] of questions.entries()) {
      const texts = (rows[0]?.[`q${index}`] ?? []) as readonly (string | null)[][]
      this.#answers?.set(question.key, Promise.resolve(resultOf(question, texts)))
    }
  }
}

function keyOf({ text, values = [] }: pg.QueryConfig): string {
  const exact = (_: string, value: unknown): unknown =>
    typeof value === 'bigint' ? `${value}n` : value
  return `${JSON.stringify(values, exact)} ${text}`
}

/** All that was asked in one statement: what was known, and what came to it. */
function batchOf(known: Batch | undefined, asked: ReadonlyMap<string, Question>): Batch {
  const all = new Map([...(known?.questions ?? []).map((one) => [one.key, one] as const), ...asked])
  const questions = [...all.values()]
  const values: unknown[] = []
  const parts = questions.map((question, index) => {
    const { text, columns } = question
    const first = values.length
    values.push(...question.values)
    const names = columns.map((_, column) => `c${column}`)
    // As the server would send it: its text of a truth is longer.
    const cells = columns.map(({ dataTypeID }, column) =>
      dataTypeID === boolType ? `left(p.c${column}::text, 1)` : `p.c${column}::text`,
    )
    const shifted = text.replaceAll(
      /\$(?<number>\d+)/gu,
      (_, number) => `$${first + Number(number)}`,
    )
    return `(SELECT json_agg(json_build_array(${cells.join(', ')})) FROM (${shifted}\n) AS p (${names.join(', ')})) AS q${index}`
  })
  return { questions, text: `SELECT ${parts.join(',\n')}`, values }
}

function resultOf(
  { columns }: Question,
  texts: readonly (readonly (string | null)[])[],
): pg.QueryResult {
  const read = columns.map(({ name, dataTypeID }) => ({
    name,
    parse: ownTypes.getTypeParser(dataTypeID) as (text: string) => unknown,
  }))
  const rows = texts.map((cells) =>
    Object.fromEntries(
      read.map(({ name, parse }, index) => {
        const cell = cells[index] ?? null
        return [name, cell === null ? null : parse(cell)]
      }),
    ),
  )
  return { rows, rowCount: rows.length, command: 'SELECT', oid: 0, fields: [] }
}
