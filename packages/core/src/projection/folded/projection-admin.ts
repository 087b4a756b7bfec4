import type { Database } from '../../database/pool.ts'
import { requireText } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { toEventSequence, type EventSequence } from '../../event/sequence.ts'

/** A state as it is stored, whether or not this application defines the projection. */
export interface StoredState {
  /** Of a keyed projection; null: it has one state. */
  readonly key: string | null
  /** Plain JSON; null when it was left out because it is large. */
  readonly state: unknown
  /** What JSON cannot say about the state, in superjson's notation; null when it says all. */
  readonly stateMeta: unknown
  /** The last event that went into it. */
  readonly sequence: EventSequence
  /** What it takes in the database, perhaps compressed, in bytes. */
  readonly bytes: number
  /** Whether it was left out because it is large. */
  readonly cut: boolean
}

/** Which keys of a projection to list. */
export interface StoredKeyPage {
  /** Only keys that begin with this, among the next some thousands. */
  readonly prefix?: string
  /** Only keys after this one. Defaults to the first. */
  readonly after?: string
  /** The most. Defaults to 100. */
  readonly limit?: number
  /** States that take more bytes than this are left out. Defaults to no limit. */
  readonly stateLimit?: number
}

/** Looking at what projections have stored: their live generations, as JSON. */
export class ProjectionAdmin {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /**
   * A page of a keyed projection's keys and their states, in the order of the keys. Empty for one that keeps no keys.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER or TIDEMARK_INVALID_OPTION.
   */
  async keys(projection: string, page: StoredKeyPage = {}): Promise<StoredState[]> {
    const where = 'projections.keys'
    rejectUnknownOptions(where, page, ['prefix', 'after', 'limit', 'stateLimit'])
    const { prefix = '', after, limit = 100, stateLimit } = page
    requireText(where, 'prefix', prefix, { least: 0 })
    if (after !== undefined) requireText(where, 'after', after, { least: 0 })
    requireWhole(where, 'limit', limit, 1, 10_000)
    if (stateLimit !== undefined) requireWhole(where, 'stateLimit', stateLimit, 0)
    await this.#require(projection)
    return this.#states(
      `SELECT key, state, state_meta, sequence FROM (
         SELECT s.key, s.state, s.state_meta, s.sequence
         -- Not joined: then the primary key has the order, and a page of it is all that is read.
         FROM "${this.#schema}".projection_states s
         WHERE s.projection = $2::text
           AND s.generation = (SELECT l.generation FROM "${this.#schema}".listeners l WHERE l.name = $2::text)
           AND ($3::text IS NULL OR s.key > $3::text) AND s.key >= $4::text
         ORDER BY s.key LIMIT greatest($5::integer, CASE WHEN $4::text = '' THEN 0 ELSE 10000 END)) AS k
       WHERE starts_with(key, $4::text) ORDER BY key LIMIT $5::integer`,
      [stateLimit ?? null, projection, after ?? null, prefix, limit],
    )
  }

  /**
   * The state of a projection that has one; with a key, the state of the key. Undefined when nothing is stored: no event
   * has reached it yet, it was removed, or the projection writes tables of its own.
   *
   * @throws TidemarkError TIDEMARK_UNKNOWN_LISTENER or TIDEMARK_INVALID_OPTION.
   */
  async state(
    projection: string,
    options: { readonly key?: string; readonly stateLimit?: number } = {},
  ): Promise<StoredState | undefined> {
    const where = 'projections.state'
    rejectUnknownOptions(where, options, ['key', 'stateLimit'])
    const { key, stateLimit } = options
    if (key !== undefined) requireText(where, 'key', key, { least: 0 })
    if (stateLimit !== undefined) requireWhole(where, 'stateLimit', stateLimit, 0)
    await this.#require(projection)
    const [found] =
      key === undefined
        ? await this.#states(
            `SELECT NULL AS key, c.state, c.state_meta, c.cursor AS sequence FROM "${this.#schema}".listeners l
             JOIN "${this.#schema}".cursors c ON c.listener = l.name AND c.generation = l.generation AND c.partition = 0
             WHERE l.name = $2::text AND c.state IS NOT NULL`,
            [stateLimit ?? null, projection],
          )
        : await this.#states(
            `SELECT s.key, s.state, s.state_meta, s.sequence FROM "${this.#schema}".listeners l
             JOIN "${this.#schema}".projection_states s ON s.projection = l.name AND s.generation = l.generation
             WHERE l.name = $2::text AND s.key = $3::text`,
            [stateLimit ?? null, projection, key],
          )
    return found
  }

  async #states(from: string, values: unknown[]): Promise<StoredState[]> {
    const { rows } = await this.#database.query(
      `SELECT s.key, CASE WHEN c.cut THEN NULL ELSE s.state END AS state,
         CASE WHEN c.cut THEN NULL ELSE s.state_meta END AS "stateMeta", s.sequence, pg_column_size(s.state) AS bytes, c.cut
       FROM (${from}) AS s
       CROSS JOIN LATERAL (SELECT $1::integer IS NOT NULL AND (pg_column_size(s.state) > $1::integer
         OR octet_length(s.state::text) > $1::integer) AS cut) AS c
       ORDER BY s.key`,
      values,
    )
    return rows.map((row) => ({
      ...(row as unknown as StoredState),
      sequence: toEventSequence(row['sequence'] as string),
    }))
  }

  async #require(projection: string): Promise<void> {
    requireText('projections', 'projection', projection)
    const { rows } = await this.#database.query(
      `SELECT FROM "${this.#schema}".listeners WHERE name = $1::text AND kind = 'projection'`,
      [projection],
    )
    if (rows.length > 0) return
    throw new TidemarkError('TIDEMARK_UNKNOWN_LISTENER', `no projection is named "${projection}"`, {
      details: { projection },
    })
  }
}
