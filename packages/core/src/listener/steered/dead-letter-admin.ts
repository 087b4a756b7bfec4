import type { Database } from '../../database/pool.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
import { requireText, shown } from '../../errors/checked-text.ts'
import { requireOneOf, requireSequence } from '../../errors/checked-values.ts'
import type { ErrorDescription } from '../../errors/describe-error.ts'
import {
  rejectUnknownOptions,
  requireList,
  requireOptions,
  requireWhole,
} from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'

/** An event that a listener has set aside. */
export interface DeadLetter {
  readonly listener: string
  readonly sequence: EventSequence
  readonly type: string
  readonly eventId: string
  readonly key: string | null
  /** Whether later events with the same key wait behind it. */
  readonly holdsKey: boolean
  readonly state: 'parked' | 'waiting' | 'retry' | 'skipped'
  readonly attempts: number
  readonly error: ErrorDescription | null
  readonly createdAt: Date
}

/** Which dead letters: of a listener, all or one or those of a key. */
export interface DeadLetterSelection {
  readonly listener: string
  readonly sequence?: EventSequence
  readonly key?: string
  /** Only those of one group, by its id: {@link DeadLetterAdmin.groups}. */
  readonly group?: string
  /** Only those in one of these states. */
  readonly states?: readonly DeadLetter['state'][]
  /** The most. Defaults to 1000. */
  readonly limit?: number
}

/** Which dead letters to list. */
export interface DeadLetterPage extends Partial<DeadLetterSelection> {
  /** Only those after this one: the last of the page before. */
  readonly after?: { readonly listener: string; readonly sequence: EventSequence }
}

/** All states of a dead letter. */
export const deadLetterStates = ['parked', 'waiting', 'retry', 'skipped'] as const
const selectionNames = ['listener', 'sequence', 'key', 'group', 'states', 'limit', 'after']

/** How many dead letters a listener has in one state. */
export interface DeadLetterCount {
  readonly listener: string
  readonly state: DeadLetter['state']
  readonly events: number
}

/** Dead letters of one listener that failed in the same way. */
export interface DeadLetterGroup {
  /** Made of the listener, the type and the error: the same as long as these are. */
  readonly group: string
  readonly listener: string
  readonly type: string
  /** Of what was thrown; null when it has none. */
  readonly code: string | null
  /** What was thrown for the newest of them. */
  readonly error: ErrorDescription | null
  readonly events: number
  /** How many of them are in which state. */
  readonly states: Readonly<Partial<Record<DeadLetter['state'], number>>>
  /** How many keys are held back by them. */
  readonly heldKeys: number
  readonly firstSequence: EventSequence
  readonly lastSequence: EventSequence
  readonly firstAt: Date
  readonly lastAt: Date
}

// The way in which it failed: with another id or number in its message it is the same.
const numbers = String.raw`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+`
// What the handler threw, rather than that it threw.
const thrownIn = (
  d: string,
): string => `(CASE WHEN ${d}.error ->> 'code' = 'TIDEMARK_HANDLER_FAILED'
  THEN coalesce(${d}.error -> 'cause', ${d}.error) ELSE ${d}.error END)`
const groupOf = (
  d: string,
): string => `md5(concat_ws(E'\n', ${d}.listener, ${d}.type, ${thrownIn(d)} ->> 'name',
  ${thrownIn(d)} ->> 'code', regexp_replace(left(${thrownIn(d)} ->> 'message', 200), '${numbers}', '#', 'gi')))`
const groupId = /^[\da-f]{32}$/u

function valuesOf(selection: Partial<DeadLetterSelection>): unknown[] {
  checkDeadLetters('deadLetters', selection)
  const { listener, sequence, key, states, group } = selection
  return [listener ?? null, sequence ?? null, key ?? null, states ?? null, group ?? null]
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
function checkDeadLetters(where: string, selection: Partial<DeadLetterSelection>): void {
  rejectUnknownOptions(where, selection, selectionNames)
  for (const option of ['listener', 'key'] as const) {
    const value = selection[option]
    if (value !== undefined) requireText(where, option, value)
  }
  const { group, limit, sequence, states = [] } = selection
  requireList(where, 'states', states)
  if (sequence !== undefined) requireSequence(where, 'sequence', sequence)
  const { after } = selection as DeadLetterPage
  if (after !== undefined) {
    requireOptions(`${where}: after`, after)
    requireText(where, 'after.listener', after.listener)
    requireSequence(where, 'after.sequence', after.sequence)
  }
  for (const state of states) requireOneOf(where, 'states', state, deadLetterStates)
  if (limit !== undefined) requireWhole(where, 'limit', limit, 1)
  if (group === undefined || (typeof group === 'string' && groupId.test(group))) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "group" cannot be ${shown(group)}`,
    {
      hint: 'It is the `group` of what `groups()` answers.',
      details: { option: 'group' },
    },
  )
}

/** Looking at dead letters of the live generations, and deciding what becomes of them. */
export class DeadLetterAdmin {
  readonly #database: Database
  readonly #schema: string

  constructor(database: Database, schema: string) {
    this.#database = database
    this.#schema = schema
  }

  /** Dead letters in the order of their sequences, of one listener or of all. */
  async list(selection: DeadLetterPage = {}): Promise<DeadLetter[]> {
    const { rows } = await this.#database.query(
      `SELECT d.* FROM ${this.#selected} AND ($6::bigint IS NULL OR (d.listener, d.sequence) > ($7::text, $6))
       ORDER BY d.listener, d.sequence LIMIT $8`,
      [
        ...valuesOf(selection),
        selection.after?.sequence ?? null,
        selection.after?.listener ?? null,
        selection.limit ?? 1000,
      ],
    )
    return rows.map((row) => ({
      listener: row['listener'] as string,
      sequence: BigInt(row['sequence'] as string) as EventSequence,
      type: row['type'] as string,
      eventId: row['event_id'] as string,
      key: row['key'] as string | null,
      holdsKey: row['holds_key'] as boolean,
      state: row['state'] as DeadLetter['state'],
      attempts: row['attempts'] as number,
      error: row['error'] as ErrorDescription | null,
      createdAt: row['created_at'] as Date,
    }))
  }

  /** How many there are, by listener and state. */
  async count(selection: Partial<DeadLetterSelection> = {}): Promise<DeadLetterCount[]> {
    const { rows } = await this.#database.query(
      `SELECT d.listener, d.state, count(*) AS events FROM ${this.#selected}
       GROUP BY d.listener, d.state ORDER BY d.listener, d.state`,
      valuesOf(selection),
    )
    return rows.map((row) => ({
      listener: row['listener'] as string,
      state: row['state'] as DeadLetter['state'],
      events: Number(row['events']),
    }))
  }

  /** Dead letters that failed in the same way counted together, the largest group first. */
  async groups(selection: Partial<DeadLetterSelection> = {}): Promise<DeadLetterGroup[]> {
    const { rows } = await this.#database.query(
      `SELECT g.*, (SELECT jsonb_object_agg(s.state, s.events) FROM (
           SELECT u.state, count(*) AS events FROM unnest(g.all_states) AS u (state) GROUP BY 1) AS s) AS states
       FROM (
         SELECT ${groupOf('d')} AS group, d.listener, d.type, ${thrownIn('d')} ->> 'code' AS code,
           (array_agg(${thrownIn('d')} ORDER BY d.sequence DESC))[1] AS error, count(*)::integer AS events,
           array_agg(d.state) AS all_states,
           count(DISTINCT d.key) FILTER (WHERE d.holds_key)::integer AS "heldKeys",
           min(d.sequence) AS first_sequence, max(d.sequence) AS last_sequence,
           min(d.created_at) AS "firstAt", max(d.created_at) AS "lastAt"
         FROM ${this.#selected} GROUP BY 1, 2, 3, 4) AS g
       ORDER BY events DESC, listener, last_sequence DESC LIMIT $6`,
      [...valuesOf(selection), selection.limit ?? 1000],
    )
    return rows.map((row): DeadLetterGroup => {
      const { all_states: _, first_sequence: first, last_sequence: last, ...rest } = row
      return {
        ...(rest as unknown as DeadLetterGroup),
        firstSequence: BigInt(first as string) as EventSequence,
        lastSequence: BigInt(last as string) as EventSequence,
      }
    })
  }

  /**
   * Has dead letters handled again, in order, by whichever process runs the listener. One that holds its key takes
   * everything that waits behind it along; one that fails again is parked again. Of a projection that is being rebuilt
   * those of the new generation are handled again, too.
   *
   * @returns how many events will be tried.
   * @throws TidemarkError TIDEMARK_UNKNOWN_DEAD_LETTER when there is none.
   */
  async retry(selection: DeadLetterSelection): Promise<number> {
    return this.#change(selection, `state IN ('parked', 'waiting', 'skipped')`, 'retry')
  }

  /**
   * Gives dead letters up: they stay as a record. What waited behind a held key is tried.
   *
   * @returns how many events were given up.
   * @throws TidemarkError TIDEMARK_UNKNOWN_DEAD_LETTER when there is none.
   */
  async discard(selection: DeadLetterSelection): Promise<number> {
    return this.#change(selection, `state IN ('parked', 'waiting', 'retry')`, 'skipped')
  }

  /** The FROM and WHERE of a selection among the live generations; its values come from valuesOf(). */
  get #selected(): string {
    return `"${this.#schema}".dead_letters d
       JOIN "${this.#schema}".listeners l ON l.name = d.listener AND l.generation = d.generation
       WHERE ($1::text IS NULL OR d.listener = $1) AND ($2::bigint IS NULL OR d.sequence = $2)
         AND ($3::text IS NULL OR d.key = $3) AND ($4::text[] IS NULL OR d.state = ANY ($4))
         AND ($5::text IS NULL OR ${groupOf('d')} = $5)`
  }

  // One under construction has dead letters of its own, of the same events mostly: what is decided about them is decided
  // for it, too, which will be the live one.
  get #generations(): string {
    return `ANY (ARRAY(SELECT g FROM "${this.#schema}".listeners l, unnest(ARRAY[l.generation, l.rebuild_generation]) AS g
      WHERE l.name = $1))`
  }

  async #change(selection: DeadLetterSelection, from: string, to: string): Promise<number> {
    checkDeadLetters('deadLetters', selection)
    const { listener, sequence = null, key = null, states = null, limit = 1000 } = selection
    const { group = null } = selection
    const table = `"${this.#schema}".dead_letters`
    const generations = this.#generations
    const matching = (d: string): string =>
      `${d}.listener = $1 AND ${d}.generation = ${generations} AND ${d}.${from}
       AND ($2::bigint IS NULL OR ${d}.sequence = $2) AND ($3::text IS NULL OR ${d}.key = $3)
       AND ($6::text[] IS NULL OR ${d}.state = ANY ($6)) AND ($7::text IS NULL OR ${groupOf(d)} = $7)`
    const [changed] = await inTransaction(this.#database, brief, async (transaction) => {
      // The owner learns of it by losing its lease: whoever takes the partition next looks at the dead letters
      // first. Cursors are locked before dead letters, as in a batch, and in the order of a switch. What is tried again
      // may have ended its process before: it gets a new chance.
      await transaction.query(
        `SELECT FROM "${this.#schema}".cursors WHERE listener = $1 AND generation = ${generations}
         ORDER BY generation, partition FOR UPDATE`,
        [listener],
      )
      await transaction.query(
        `UPDATE "${this.#schema}".cursors SET epoch = epoch + 1, owner = NULL, lease_until = NULL, crashes = 0
         WHERE listener = $1 AND generation = ${generations}`,
        [listener],
      )
      const { rows } = await transaction.query(
        `UPDATE ${table} d SET state = $5, updated_at = clock_timestamp()
         WHERE ${matching('d')}
           AND d.sequence = ANY (ARRAY(SELECT DISTINCT c.sequence FROM ${table} c WHERE ${matching('c')} ORDER BY 1 LIMIT $4))
         RETURNING d.sequence, d.key, d.holds_key`,
        [listener, sequence, key, limit, to, states, group],
      )
      const keys = rows.filter((row) => row['holds_key'] === true).map((row) => row['key'])
      if (keys.length > 0) {
        await transaction.query(
          `UPDATE ${table} SET state = 'retry', updated_at = clock_timestamp()
           WHERE listener = $1 AND generation = ${generations} AND holds_key AND key = ANY ($2::text[]) AND state IN ('parked', 'waiting')`,
          [listener, keys],
        )
      }
      return new Set(rows.map((row) => row['sequence'])).size
    })
    if (changed > 0) return changed
    throw new TidemarkError('TIDEMARK_UNKNOWN_DEAD_LETTER', `${listener} has no such dead letter`, {
      details: { ...selection },
    })
  }
}
