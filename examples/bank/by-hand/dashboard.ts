import type { TestDatabase } from '@tidemark/testing'

// The dashboard as it is written without Tidemark, with what cannot be left out: no event is skipped, none is counted
// twice, they are counted in order, by one process at a time, and a crash at any instant changes nothing of that.

type Pool = TestDatabase['pool']
type Client = Pick<Pool, 'query'>

interface Dashboard {
  readonly pending: number
  readonly declined: number
  readonly active: number
  readonly disbursed: bigint
}

interface OutboxRow {
  readonly id: string
  readonly type: string
  readonly payload: { readonly amount: string }
}

export const tablesSql = `
  CREATE TABLE outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type    text   NOT NULL,
    payload jsonb  NOT NULL
  );
  CREATE TABLE dashboards (
    name    text   PRIMARY KEY,
    last_id bigint NOT NULL,
    state   jsonb  NOT NULL
  );
  INSERT INTO dashboards VALUES ('lending', 0, '{"pending":0,"declined":0,"active":0,"disbursed":"0"}')`

const publishersLock = 4711
const pageSize = 500
const pollInterval = 100
const longestBackoff = 5_000

/**
 * Publishes in the transaction of the caller. Ids are drawn before the commit, so a reader that has seen a later one
 * would skip what commits late: publishers wait for each other until they have committed.
 */
export async function record(client: Client, type: string, payload: object): Promise<void> {
  await client.query('SELECT pg_advisory_xact_lock($1)', [publishersLock])
  await client.query('INSERT INTO outbox (type, payload) VALUES ($1, $2)', [
    type,
    JSON.stringify(payload, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    ),
  ])
}

function reduce(state: Dashboard, { type, payload }: OutboxRow): Dashboard {
  switch (type) {
    case 'credit.proposal_submitted':
      return { ...state, pending: state.pending + 1 }
    case 'credit.proposal_declined':
      return { ...state, pending: state.pending - 1, declined: state.declined + 1 }
    case 'credit.facility_activated':
      return {
        ...state,
        pending: state.pending - 1,
        active: state.active + 1,
        disbursed: state.disbursed + BigInt(payload.amount),
      }
    default:
      return state
  }
}

function toState(json: Omit<Dashboard, 'disbursed'> & { readonly disbursed: string }): Dashboard {
  return { ...json, disbursed: BigInt(json.disbursed) }
}

export async function readDashboard(client: Client): Promise<Dashboard> {
  const { rows } = await client.query(`SELECT state FROM dashboards WHERE name = 'lending'`)
  return toState(rows[0].state)
}

/** Counts the next page, in one transaction with how far it has come; answers how many events there were. */
async function handlePage(pool: Pool): Promise<number> {
  const client = await pool.connect()
  let broken: Error | undefined
  const onError = (error: Error): void => {
    broken = error
  }
  client.on('error', onError)
  try {
    await client.query('BEGIN')
    // Another process that is at it is waited for, and has moved the row by then.
    const { rows } = await client.query(
      `SELECT last_id, state FROM dashboards WHERE name = 'lending' FOR UPDATE`,
    )
    const page = await client.query<OutboxRow>(
      'SELECT id, type, payload FROM outbox WHERE id > $1 ORDER BY id LIMIT $2',
      [rows[0].last_id, pageSize],
    )
    const last = page.rows.at(-1)
    if (last !== undefined) {
      const state = page.rows.reduce(reduce, toState(rows[0].state))
      await client.query(`UPDATE dashboards SET last_id = $1, state = $2 WHERE name = 'lending'`, [
        last.id,
        JSON.stringify({ ...state, disbursed: String(state.disbursed) }),
      ])
    }
    await client.query('COMMIT')
    return page.rows.length
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    client.off('error', onError)
    // A connection in an unknown state is not used again.
    client.release(broken)
  }
}

/** Counts until the signal aborts, and goes on after any failure, later each time. */
export async function runDashboard(pool: Pool, signal: AbortSignal): Promise<void> {
  let backoff = pollInterval
  while (!signal.aborted) {
    let pause = pollInterval
    try {
      if ((await handlePage(pool)) === pageSize) pause = 0
      backoff = pollInterval
    } catch (error) {
      console.error('the dashboard is tried again', error)
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
