import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { isTidemarkError, type App } from 'tidemark'
import type { Random } from '../random.ts'
import { booked, charged, moved, noted, purse } from './events.ts'

/** What an operation works with. */
export interface Desk {
  readonly app: App
  /** The other install. */
  readonly second: App
  /** Connections of an application that uses Postgres without Tidemark. */
  readonly pool: pg.Pool
  readonly random: Random
  readonly accounts: number
}

/**
 * How an operation ended: `done`: it was told that it has committed; `undone`: it was rolled back on purpose, and
 * nothing of it may be seen; `untold`: it has no name to look for.
 */
export type Fate = 'done' | 'undone' | 'untold'

/** A way to move money. It throws when its fate is not known. */
export type Operation = (desk: Desk, op: string) => Promise<Fate>

class RolledBack extends Error {}

function draw({ random, accounts }: Desk, op: string) {
  const from = random.whole(1, accounts)
  const to = ((from + random.whole(0, accounts - 2)) % accounts) + 1
  const kinds = ['poison', 'stuck'] as const
  const kind = random.chance(0.01) ? kinds[random.chance(0.05) ? 1 : 0] : ('plain' as const)
  const jobs = ['settle', 'settle', 'story', 'wander'] as const
  const job = random.chance(0.08) ? random.one(jobs) : ('none' as const)
  const cents = BigInt(random.whole(1, 1_000))
  return { op, from: `account-${from}`, to: `account-${to}`, cents, kind, job }
}

type Move = ReturnType<typeof draw>

async function transfer(
  query: (text: string, values: unknown[]) => Promise<unknown>,
  { op, from, to, cents }: Move,
): Promise<void> {
  // In one order, so that transfers do not end in deadlocks all the time.
  const changes = [
    [from, -cents],
    [to, cents],
  ].toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1))
  for (const [id, change] of changes) {
    await query('UPDATE accounts SET cents = cents + $2 WHERE id = $1', [id, change])
  }
  await query('INSERT INTO transfers (op, sender, receiver, cents) VALUES ($1, $2, $3, $4)', [
    op,
    from,
    to,
    cents,
  ])
}

/** A transaction of Tidemark's, at some isolation level, sometimes slow, sometimes rolled back. */
const inTransaction: Operation = async (desk, op) => {
  const { app, random } = desk
  const move = draw(desk, op)
  const isolation = random.one(['read committed', 'repeatable read', 'serializable'] as const)
  const rollsBack = random.chance(0.15)
  const pause = random.chance(0.1) ? random.whole(5, 60) : 0
  const fee = random.chance(0.2)
  try {
    await app.transaction(
      async (tx) => {
        tx.publish(moved(move), { key: move.from })
        if (fee) tx.publish(charged({ op, cents: 1n }))
        await transfer(tx.query, move)
        if (pause > 0) await delay(pause)
        if (rollsBack) throw new RolledBack()
      },
      { isolation },
    )
    return 'done'
  } catch (error) {
    if (error instanceof RolledBack) return 'undone'
    throw error
  }
}

/** On its own, named by an idempotency key and repeated until its fate is known. */
const byKey: Operation = async (desk, op) => {
  const move = draw(desk, `key-${op}`)
  for (let attempt = 1; ; attempt++) {
    try {
      await desk.app.publish(moved(move), { idempotencyKey: op, key: move.from })
      return 'done'
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_DUPLICATE_EVENT')) {
        return 'done'
      }
      if (attempt === 100) throw error
      await delay(50)
    }
  }
}

/** In a transaction of somebody else, with savepoints: what was rolled back to is not seen. */
const withSavepoints: Operation = async (desk, op) => {
  const move = draw(desk, op)
  const other = draw(desk, `${op}-undone`)
  return onClient(desk.pool, async (client) => {
    await client.query('BEGIN')
    await client.query('SAVEPOINT one')
    await desk.app.publish(moved(other), { tx: client, key: other.from })
    await transfer((text, values) => client.query(text, values), other)
    await client.query('ROLLBACK TO SAVEPOINT one')
    if (desk.random.chance(0.5)) await delay(desk.random.whole(1, 20))
    await desk.app.publish(moved(move), { tx: client, key: move.from })
    await transfer((text, values) => client.query(text, values), move)
    await client.query('COMMIT')
    return 'done'
  })
}

/** In SQL, as a program in another language does; sometimes with a long wait before it commits. */
const inSql: Operation = async (desk, op) => {
  const move = draw(desk, op)
  const rollsBack = desk.random.chance(0.2)
  return onClient(desk.pool, async (client) => {
    await client.query('BEGIN')
    await transfer((text, values) => client.query(text, values), move)
    await client.query(`SELECT tidemark.publish('ledger.moved', $1::jsonb, key => $2)`, [
      JSON.stringify({ ...move, cents: String(move.cents) }),
      move.from,
    ])
    if (desk.random.chance(0.2)) await delay(desk.random.whole(1, 150))
    await client.query(rollsBack ? 'ROLLBACK' : 'COMMIT')
    return rollsBack ? 'undone' : 'done'
  })
}

/** Committed in two phases. What nobody decided, because its connection was lost, is decided at the end of the round. */
const inTwoPhases: Operation = async (desk, op) => {
  const move = draw(desk, op)
  const rollsBack = desk.random.chance(0.3)
  await onClient(desk.pool, async (client) => {
    await client.query('BEGIN')
    // A transaction that has notified cannot be prepared.
    await client.query(`SET LOCAL tidemark.doorbell = 'off'`)
    await desk.app.publish(moved(move), { tx: client, key: move.from })
    await transfer((text, values) => client.query(text, values), move)
    await client.query(`PREPARE TRANSACTION '${op}'`)
    return 'done'
  })
  await delay(desk.random.whole(0, 50))
  // From now on somebody else may decide, and otherwise: nothing is known unless this answers.
  return onClient(desk.pool, async (client) => {
    await client.query(`${rollsBack ? 'ROLLBACK' : 'COMMIT'} PREPARED '${op}'`)
    return rollsBack ? 'undone' : 'done'
  })
}

/** Decides under an expected version: a purse never holds less than nothing. */
const decided: Operation = async ({ app, random }, op) => {
  const cents = BigInt(random.whole(-500, 500))
  const { events } = await app.decide(
    purse,
    `purse-${random.whole(1, 3)}`,
    (held) => (held + cents < 0n ? [] : [booked({ op, cents })]),
    { attempts: 20 },
  )
  return events.length === 0 ? 'undone' : 'done'
}

/** Several events of a stream at once. */
const inStream: Operation = async ({ app, random }, op) => {
  const stream = `stream-${random.whole(1, 5)}`
  const drafts = Array.from({ length: random.whole(1, 4) }, () => charged({ op, cents: 2n }))
  await app.publish(drafts, { stream })
  return 'done'
}

const inSecond: Operation = async ({ second, random }) => {
  await second.publish(noted({ n: random.whole(1, 1_000) }))
  return 'untold'
}

/** All of them, by how often each is drawn. */
export const operations: readonly (readonly [Operation, number])[] = [
  [inTransaction, 8],
  [byKey, 4],
  [withSavepoints, 2],
  [inSql, 4],
  [inTwoPhases, 1],
  [decided, 2],
  [inStream, 1],
  [inSecond, 3],
]

async function onClient(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<Fate>,
): Promise<Fate> {
  const client = await pool.connect()
  // Its statements fail as well: they say so.
  const ignore = (): void => {}
  client.on('error', ignore)
  let failed = true
  try {
    const fate = await work(client)
    failed = false
    return fate
  } finally {
    client.off('error', ignore)
    client.release(failed)
  }
}
