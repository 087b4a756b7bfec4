import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { committed, takeEffect, type Peer, type Told } from './peer.ts'

type Step = (client: pg.PoolClient) => Promise<number>

const batch = 100

// What many write first: the rows after the last one that was seen.
const byCursor: Step = async (client) => {
  const { rows } = await client.query<Told & { id: string }>(
    `SELECT o.id, o.key, o.n FROM outbox o, outbox_cursor c WHERE o.id > c.id ORDER BY o.id LIMIT $1`,
    [batch],
  )
  for (const told of rows) await takeEffect(client, told)
  const last = rows.at(-1)
  if (last !== undefined) await client.query('UPDATE outbox_cursor SET id = $1', [last.id])
  return rows.length
}

// What many write next: whatever nobody else is at, and it is deleted with the effect.
const bySkipping: Step = async (client) => {
  const { rows } = await client.query<Told>(
    `DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
     RETURNING key, n`,
    [batch],
  )
  for (const told of rows.toSorted((a, b) => a.n - b.n)) await takeEffect(client, told)
  return rows.length
}

/** An outbox as one writes it by hand, which is polled each 10 ms when there was nothing. */
function handWritten(name: string, settings: string, step: Step): Peer {
  return {
    name,
    settings,
    prepare: async (url) => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      await client.query(`CREATE TABLE outbox (id bigserial PRIMARY KEY, key integer NOT NULL, n integer NOT NULL);
        CREATE TABLE outbox_cursor (id bigint NOT NULL); INSERT INTO outbox_cursor VALUES (0)`)
      await client.end()
    },
    publisher: async (url, max) => {
      const pool = new pg.Pool({ connectionString: url, max })
      return {
        publish: ({ key, n }, pause) =>
          committed(pool, pause, (client) =>
            client.query('INSERT INTO outbox (key, n) VALUES ($1, $2)', [key, n]),
          ),
        [Symbol.asyncDispose]: () => pool.end(),
      }
    },
    consume: async (url) => {
      const pool = new pg.Pool({ connectionString: url, max: 1 })
      const stop = new AbortController()
      const polling = (async () => {
        while (!stop.signal.aborted) {
          let found = 0
          await committed(pool, 0, async (client) => (found = await step(client)))
          if (found === 0) await delay(10)
        }
      })()
      return {
        [Symbol.asyncDispose]: async () => {
          stop.abort()
          await polling
          await pool.end()
        },
      }
    },
  }
}

/** The two that are written most. */
export const handWrittenPeers: readonly Peer[] = [
  handWritten(
    'by hand, id > cursor',
    'polled each 10 ms, 100 events a transaction with their effects',
    byCursor,
  ),
  handWritten('by hand, SKIP LOCKED', 'the same; rows are deleted with their effects', bySkipping),
]
