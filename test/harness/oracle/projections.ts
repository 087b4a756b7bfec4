import type pg from 'pg'
import { foldEvent, nothing, type Digest } from '../ledger/fold.ts'
import type { Violation } from './violation.ts'

interface Row {
  readonly sequence: string
  readonly from: string
  readonly to: string
}

interface Live {
  readonly name: string
  readonly version: number
  readonly generation: number
}

/**
 * Compares what projections hold with the fold of the events up to their cursors, all seen in one snapshot. Holds at
 * any moment.
 */
export async function compareProjections(pool: pg.Pool): Promise<Violation[]> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    const answer = await compare(client)
    await client.query('COMMIT')
    return answer
  } finally {
    client.release()
  }
}

async function compare(client: pg.PoolClient): Promise<Violation[]> {
  const { rows: events } = await client.query<Row>(
    `SELECT sequence, payload ->> 'from' AS "from", payload ->> 'to' AS "to" FROM tidemark.events
     WHERE type = 'ledger.moved' ORDER BY sequence`,
  )
  const { rows: live } = await client.query<Live>(
    `SELECT name, version, generation FROM tidemark.listeners WHERE kind = 'projection'`,
  )
  const violations: Violation[] = []
  for (const projection of live) {
    const found = await look(client, projection, events)
    if (found !== undefined) {
      const promise = `the projection ${projection.name} is the fold of its events up to its cursor`
      violations.push({ promise, evidence: found })
    }
  }
  return violations
}

async function look(
  client: pg.PoolClient,
  { name, version, generation }: Live,
  events: readonly Row[],
): Promise<unknown> {
  const { rows: cursors } = await client.query<{ cursor: string; state: unknown; replay: boolean }>(
    `SELECT cursor, state, replay_until > cursor AS replay FROM tidemark.cursors
     WHERE listener = $1 AND generation = $2 ORDER BY partition`,
    [name, generation],
  )
  if (name === 'fees') return lookAtFees(client, cursors[0]?.state)
  const cursor = BigInt(cursors[0]?.cursor ?? 0)
  const upTo = events.filter(({ sequence }) => BigInt(sequence) <= cursor)
  switch (name) {
    case 'total': {
      const held = digestOf(cursors[0]?.state)
      const due = upTo.reduce((state, e) => foldEvent(state, BigInt(e.sequence), version), nothing)
      return same(held, due) ? undefined : { cursor, version, held, due }
    }
    case 'by-account': {
      // Its partitions stand at cursors of their own: what each key has seen tells how far it must be.
      const furthest = cursors.map((row) => BigInt(row.cursor))
      const { rows } = await client.query<{ key: string; state: unknown }>(
        `SELECT key, state FROM tidemark.projection_states WHERE projection = $1 AND generation = $2`,
        [name, generation],
      )
      return lookAtKeys(rows, 'from', events, version, furthest)
    }
    case 'rows': {
      const { rows } = await client.query<{ key: string; state: unknown }>(
        `SELECT account AS key, jsonb_build_object('count', count, 'digest', digest::text) AS state FROM account_rows`,
      )
      return lookAtKeys(rows, 'to', events, version, [cursor])
    }
    case 'entries': {
      const { rows } = await client.query<{ sequence: string; release: number }>(
        'SELECT sequence, release FROM entries ORDER BY sequence',
      )
      const held = rows.map(({ sequence }) => sequence)
      const due = upTo.map(({ sequence }) => sequence)
      const first = held.findIndex((sequence, index) => sequence !== due[index])
      const wrong = rows.find(({ release }) => release !== version)
      if (held.length === due.length && first < 0 && wrong === undefined) return undefined
      return { cursor, version, held: held.length, due: due.length, first: held[first], wrong }
    }
    default:
      return undefined
  }
}

/** Keys whose state is not the fold up to any of the cursors. */
function lookAtKeys(
  rows: readonly { readonly key: string; readonly state: unknown }[],
  by: 'from' | 'to',
  events: readonly Row[],
  version: number,
  cursors: readonly bigint[],
): unknown {
  const due = new Map<string, Digest[]>()
  for (const cursor of new Set(cursors)) {
    const states = new Map<string, Digest>()
    for (const event of events) {
      const sequence = BigInt(event.sequence)
      if (sequence > cursor) break
      states.set(event[by], foldEvent(states.get(event[by]) ?? nothing, sequence, version))
    }
    for (const key of new Set(events.map((event) => event[by]))) {
      due.set(key, [...(due.get(key) ?? []), states.get(key) ?? nothing])
    }
  }
  const held = new Map(rows.map(({ key, state }) => [key, digestOf(state)]))
  for (const [key, possible] of due) {
    const state = held.get(key) ?? nothing
    if (!possible.some((one) => same(one, state))) return { key, state, possible, cursors, version }
  }
  return undefined
}

async function lookAtFees(client: pg.PoolClient, state: unknown): Promise<unknown> {
  const { rows } = await client.query<{ count: number; cents: string }>(
    `SELECT count(*)::integer AS count, coalesce(sum((payload ->> 'cents')::bigint), 0) AS cents
     FROM tidemark.events WHERE type = 'ledger.charged'`,
  )
  const due = rows[0]
  const held = (state ?? { count: 0, cents: '0' }) as { count: number; cents: string }
  return held.count === due?.count && held.cents === due.cents ? undefined : { held, due }
}

function digestOf(state: unknown): Digest {
  if (state === null || state === undefined) return nothing
  const { count, digest } = state as { count: number; digest: string | number }
  return { count, digest: BigInt(digest) }
}

function same(one: Digest, other: Digest): boolean {
  return one.count === other.count && one.digest === other.digest
}
