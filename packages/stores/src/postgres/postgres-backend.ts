import type { Executor } from 'tidemark'
import type {
  ListQuery,
  StateBackend,
  StoredPage,
  StoredState,
  Write,
  WriteOutcome,
} from '../backend/backend.ts'
import { statusesOf } from '../backend/matches.ts'
import { placeOf, placeText } from '../backend/place.ts'

const mostSwept = 1_000

/** A table; a function of the schema judges and writes under the lock of a row. */
export class PostgresBackend implements StateBackend {
  readonly name = 'postgres'
  readonly mostBytes: number = 16 * 1024 * 1024
  readonly #database: Executor
  readonly #schema: string
  readonly #store: string

  constructor(database: Executor, schema: string, store: string) {
    this.#database = database
    this.#schema = `"${schema}"`
    this.#store = store
  }

  async write(write: Write): Promise<WriteOutcome> {
    const { body, name, status, fields, ttl } = write
    const given = { value: body, name, status, fields, ttl }
    const changes = Object.entries(given).flatMap(([key, value]) =>
      value === undefined ? [] : [key],
    )
    const { rows } = await this.#database.query(
      `SELECT outcome, live::text AS live, ${columns('(state).')} FROM ${this.#schema}.write_state($1::text, $2::text, $3::text,
        $4::text, $5::bigint, $6::bigint, string_to_array($7::text, ','), $8::text, $9::text, $10::text,
        $11::text::jsonb, $12::float8, $13::float8)`,
      [
        this.#store,
        write.key,
        write.op,
        write.writeId,
        String(write.token),
        write.ifVersion ?? null,
        changes.join(','),
        body ?? null,
        name ?? null,
        status ?? null,
        fields === undefined ? null : JSON.stringify(fields),
        ttl ?? null,
        write.remember,
      ],
    )
    const row = rows[0]
    if (row === undefined) return { is: 'missing', state: undefined }
    return { is: row['outcome'] as WriteOutcome['is'], state: stateOf(row) }
  }

  async read(keys: readonly string[]): Promise<readonly (StoredState | undefined)[]> {
    const { rows } = await this.#database.query(
      `SELECT ${columns('s.')}, ${live}::text AS live FROM ${this.#schema}.states s
       WHERE s.store = $1::text AND s.key IN (SELECT jsonb_array_elements_text($2::text::jsonb))
         AND (s.forget_at IS NULL OR s.forget_at > clock_timestamp())`,
      [this.#store, JSON.stringify(keys)],
    )
    const byKey = new Map(rows.map((row) => [row['key'] as string, stateOf(row)]))
    return keys.map((key) => byKey.get(key))
  }

  async list({ filter, limit, after }: ListQuery): Promise<StoredPage> {
    const values: unknown[] = []
    const given = (value: unknown): string => `$${values.push(value)}`
    const conditions = [`s.store = ${given(this.#store)}::text`, live]
    if (after !== undefined) {
      const place = placeOf(after)
      conditions.push(
        `(s.created_at, s.key) < (${time(given(place.createdAt))}, ${given(place.key)}::text)`,
      )
    }
    const statuses = statusesOf(filter)
    if (statuses?.length === 1) conditions.push(`s.status = ${given(statuses[0])}::text`)
    else if (statuses !== undefined) {
      conditions.push(
        `s.status IN (SELECT jsonb_array_elements_text(${given(JSON.stringify(statuses))}::text::jsonb))`,
      )
    }
    if (filter.name !== undefined) conditions.push(`s.name = ${given(filter.name)}::text`)
    if (filter.fields !== undefined && Object.keys(filter.fields).length > 0) {
      conditions.push(`s.fields @> ${given(JSON.stringify(filter.fields))}::text::jsonb`)
    }
    for (const [at, comparison] of [
      [filter.createdFrom, 's.created_at >='],
      [filter.createdBefore, 's.created_at <'],
      [filter.updatedFrom, 's.updated_at >='],
      [filter.updatedBefore, 's.updated_at <'],
    ] as const) {
      if (at !== undefined) conditions.push(`${comparison} ${time(given(at.getTime()))}`)
    }
    const { rows } = await this.#database.query(
      `SELECT ${columns('s.')}, 'true' AS live FROM ${this.#schema}.states s WHERE ${conditions.join(' AND ')}
       ORDER BY s.created_at DESC, s.key DESC LIMIT ${given(limit + 1)}::integer`,
      values,
    )
    const states = rows.slice(0, limit).map(stateOf)
    const last = states.at(-1)
    return { states, next: rows.length > limit && last !== undefined ? placeText(last) : null }
  }

  async ping(): Promise<void> {
    // Of the table itself: a server without it is of no use here.
    await this.#database.query(`SELECT FROM ${this.#schema}.states LIMIT 0`)
  }

  async sweep(): Promise<number> {
    const { rowCount } = await this.#database.query(
      `DELETE FROM ${this.#schema}.states WHERE (store, key) IN (
         SELECT s.store, s.key FROM ${this.#schema}.states s
         WHERE s.store = $1::text AND s.forget_at <= clock_timestamp()
         LIMIT ${mostSwept} FOR UPDATE SKIP LOCKED)`,
      [this.#store],
    )
    return rowCount ?? 0
  }

  isTransient(error: unknown): boolean {
    const code: unknown = (error as { code?: unknown } | null)?.code
    // Without a code it is the driver that speaks: of a connection that ended, or a pool that gave none in time.
    if (typeof code !== 'string') return error instanceof Error
    // 25006: a standby, or a server that is being switched over.
    return /^(?:08|57P0|53|40|25006)|^E(?:CONN|PIPE|TIMEDOUT|HOST|NET|AI_AGAIN)/u.test(code)
  }

  async close(): Promise<void> {
    // The pool is the caller's.
  }
}

const live = '(s.body IS NOT NULL AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp()))'

/** As texts, of which no driver makes anything else, whatever its application has told it of types. */
function columns(of: string): string {
  const at = (column: string): string => `round(extract(epoch FROM ${of}${column}) * 1000)::text`
  return `${of}key AS key, ${of}version::text AS version, ${of}token::text AS token, ${of}write_id AS write_id,
    ${at('created_at')} AS created_at, ${at('updated_at')} AS updated_at, ${at('expires_at')} AS expires_at,
    ${of}name AS name, ${of}status AS status, ${of}fields::text AS fields, ${of}body AS body`
}

function time(parameter: string): string {
  return `to_timestamp(${parameter}::float8 / 1000)`
}

function stateOf(row: Record<string, unknown>): StoredState {
  const expiresAt = row['expires_at'] as string | null
  return {
    key: row['key'] as string,
    body: row['body'] as string | null,
    version: Number(row['version']),
    token: BigInt(row['token'] as string),
    writeId: row['write_id'] as string,
    name: row['name'] as string | null,
    status: row['status'] as string | null,
    fields: JSON.parse(row['fields'] as string) as StoredState['fields'],
    createdAt: Number(row['created_at']),
    updatedAt: Number(row['updated_at']),
    expiresAt: expiresAt === null ? null : Number(expiresAt),
    live: row['live'] === 'true',
  }
}
