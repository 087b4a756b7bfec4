import type pg from 'pg'

/** An event of the comparison: the `n`th of its key. */
export interface Told {
  readonly key: number
  readonly n: number
}

/** Something that takes events from those who commit them to one that has an effect in the same database. */
export interface Peer {
  readonly name: string
  /** How it was set, where that is not its default, for people. */
  readonly settings: string
  /** Makes its tables. */
  readonly prepare: (url: string) => Promise<void>
  /** Opens what publishes. */
  readonly publisher: (url: string, connections: number) => Promise<PeerPublisher>
  /** Makes the effect of each event, from where it stood, until it is disposed. */
  readonly consume: (url: string) => Promise<AsyncDisposable>
}

/** Who publishes with a peer. */
export interface PeerPublisher extends AsyncDisposable {
  /**
   * Publishes an event, and waits between the INSERT and the COMMIT.
   *
   * @param pause - how long, in milliseconds.
   * @returns when it is committed.
   */
  publish(told: Told, pause: number): Promise<unknown>
}

/** The effect of an event: a row, whose number says when it came. */
export async function takeEffect(
  client: Pick<pg.ClientBase, 'query'>,
  { key, n }: Told,
): Promise<void> {
  await client.query('INSERT INTO effects (key, n) VALUES ($1::integer, $2::integer)', [key, n])
}

/** Runs in a transaction of the driver's, on a client of a pool. */
export async function committed(
  pool: pg.Pool,
  pause: number,
  insert: (client: pg.PoolClient) => Promise<unknown>,
): Promise<void> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
    await insert(client)
    if (pause > 0) await client.query('SELECT pg_sleep($1::float8 / 1000)', [pause])
    await client.query('COMMIT')
  } finally {
    client.release()
  }
}
