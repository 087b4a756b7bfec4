import type { TestDatabase } from '@tidemark/testing'

// What the dashboard, the approval process and the letters share when they are written without Tidemark: no event is
// skipped, none is handled twice, they are handled in order, by one process at a time, and a crash at any instant
// changes nothing of that.

export type Pool = TestDatabase['pool']
export type Client = Pick<Pool, 'query'>

/** As it comes out of JSON: amounts are text. Which of them an event has depends on its type. */
interface Payload {
  readonly customerId: string
  readonly facilityId: string
  readonly amount: string
  readonly monthlyIncome: string
  readonly reason: string
  readonly email: string
  readonly name: { readonly given: string }
}

export interface OutboxEvent {
  readonly id: string
  readonly event_id: string
  readonly type: string
  readonly payload: Payload
}

export type Handler = (client: Client, event: OutboxEvent) => Promise<unknown>

export const outboxSql = `
  CREATE TABLE outbox (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid   NOT NULL DEFAULT gen_random_uuid(),
    type     text   NOT NULL,
    payload  jsonb  NOT NULL,
    stream   text,
    version  bigint,
    UNIQUE (stream, version)
  );
  CREATE TABLE readers (
    name    text   PRIMARY KEY,
    last_id bigint NOT NULL
  );`

const publishersLock = 4711
const pageSize = 500
const pollInterval = 100
const longestBackoff = 5_000

/**
 * Publishes in the transaction of the caller. Ids are drawn before the commit, so a reader that has seen a later one
 * would skip what commits late: publishers wait for each other until they have committed. Of two that expect the same
 * version of a stream, the second one fails.
 */
export async function record(
  client: Client,
  type: string,
  payload: object,
  position?: { readonly stream: string; readonly version: number },
): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1)', [publishersLock])
  const json = JSON.stringify(payload, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  await client.query(
    'INSERT INTO outbox (type, payload, stream, version) VALUES ($1, $2, $3, $4)',
    [type, json, position?.stream, position?.version],
  )
}

export async function transaction<T>(pool: Pool, body: (client: Client) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  let broken: Error | undefined
  const onError = (error: Error): void => {
    broken = error
  }
  client.on('error', onError)
  try {
    await client.query('BEGIN')
    const result = await body(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    client.off('error', onError)
    // A connection in an unknown state is not used again.
    client.release(broken)
  }
}

/** Another process that is at it is waited for, and has moved the row by then. */
export async function lockReader(client: Client, name: string): Promise<string> {
  const { rows } = await client.query('SELECT last_id FROM readers WHERE name = $1 FOR UPDATE', [
    name,
  ])
  return rows[0].last_id
}

/** Handles events until the signal aborts. What a handler writes commits together with how far the reader has come. */
export async function runReader(
  pool: Pool,
  signal: AbortSignal,
  name: string,
  handle: Handler,
): Promise<void> {
  let size = pageSize
  await repeat(name, signal, async () => {
    const limit = size
    // After a failure one by one: what is in front of the event that fails gets done.
    size = 1
    const handled = await transaction(pool, async (client) => {
      const last = await lockReader(client, name)
      const { rows } = await client.query<OutboxEvent>(
        'SELECT id, event_id, type, payload FROM outbox WHERE id > $1 ORDER BY id LIMIT $2',
        [last, limit],
      )
      for (const event of rows) await handle(client, event)
      await client.query('UPDATE readers SET last_id = $2 WHERE name = $1', [
        name,
        rows.at(-1)?.id ?? last,
      ])
      return rows.length
    })
    size = pageSize
    return handled === limit
  })
}

/** Works until the signal aborts: at once while there is more, and later each time after failures. */
export async function repeat(
  name: string,
  signal: AbortSignal,
  work: () => Promise<boolean>,
): Promise<void> {
  let backoff = pollInterval
  while (!signal.aborted) {
    let pause = pollInterval
    try {
      if (await work()) pause = 0
      backoff = pollInterval
    } catch (error) {
      console.error(`${name} is tried again`, error)
      backoff = Math.min(backoff * 2, longestBackoff)
      pause = backoff * (0.5 + Math.random() / 2)
    }
    await waitFor(pause, signal)
  }
}

function waitFor(pause: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, signal.aborted ? 0 : pause)
    signal.addEventListener('abort', done)
  })
}
