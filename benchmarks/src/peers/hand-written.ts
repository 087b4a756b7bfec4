import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { committed, publishing, type Handle, type Peer, type Told } from './peer.ts'

type Step = (client: pg.PoolClient, handle: Handle) => Promise<number>

const batch = 100

// What many write first: the rows after the last one that was seen.
const byCursor: Step = async (client, handle) => {
  const cursor = await client.query<{ id: string }>('SELECT id FROM outbox_cursor FOR UPDATE')
  const { rows } = await client.query<Told & { id: string }>(
    `SELECT id, key, n FROM outbox WHERE id > $1 ORDER BY id LIMIT $2`,
    [cursor.rows[0]?.id, batch],
  )
  for (const told of rows) await handle(told, client)
  const last = rows.at(-1)
  if (last !== undefined) await client.query('UPDATE outbox_cursor SET id = $1', [last.id])
  return rows.length
}

// What many write next: whatever nobody else is at, and it is deleted with the effect.
const bySkipping: Step = async (client, handle) => {
  const { rows } = await client.query<Told>(
    `DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
     RETURNING key, n`,
    [batch],
  )
  for (const told of rows.toSorted((a, b) => a.n - b.n)) await handle(told, client)
  return rows.length
}

/** An outbox as one writes it by hand, which is polled each 10 ms when there was nothing. */
function handWritten(name: string, settings: string, step: Step): Peer {
  return {
    name,
    settings,
    ordered: true,
    prepare: async (url) => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      await client.query(`CREATE TABLE outbox (id bigserial PRIMARY KEY, key integer NOT NULL, n integer NOT NULL);
        CREATE TABLE outbox_cursor (id bigint NOT NULL); INSERT INTO outbox_cursor VALUES (0)`)
      await client.end()
    },
    publisher: async (url, max) =>
      publishing(new pg.Pool({ connectionString: url, max }), (client, { key, n }) =>
        client.query('INSERT INTO outbox (key, n) VALUES ($1, $2)', [key, n]),
      ),
    consume: async (url, { handle }) => {
      const pool = new pg.Pool({ connectionString: url, max: 1 })
      const stop = new AbortController()
      const polling = (async () => {
        while (!stop.signal.aborted) {
          const found = await committed(pool, (client) => step(client, handle))
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
    'the cursor is locked, and moved in the transaction of up to 100 effects; polled each 10 ms',
    byCursor,
  ),
  handWritten('by hand, SKIP LOCKED', 'the same; rows are deleted with their effects', bySkipping),
]
