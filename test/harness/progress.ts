import { setTimeout as delay } from 'node:timers/promises'
import type pg from 'pg'
import { isTidemarkError, type App, type EventSequence } from 'tidemark'
import { settle } from './ledger/jobs.ts'
import { keepers } from './ledger/listeners.ts'
import { followers } from './ledger/projections.ts'
import { within, type Left, type Pace } from './pace.ts'
import type { Random } from './random.ts'

/** Whether everything goes on, and how fast. */
export class Progress {
  readonly #pool: pg.Pool
  readonly #app: App
  readonly #random: Random
  readonly #pace: Pace
  #probes = 0

  constructor(pool: pg.Pool, app: App, random: Random, pace: Pace) {
    this.#pace = pace
    this.#pool = pool
    this.#app = app
    this.#random = random
  }

  /** Publishes, and waits for all that have not halted by their policy. */
  async follow(left: Left): Promise<void> {
    const sequence = await insist('an event that is published in SQL', left, async () => {
      const { rows } = await this.#pool.query<{ sequence: string }>(
        `SELECT tidemark.publish('ledger.moved', $1::jsonb, key => 'probe') AS sequence`,
        [JSON.stringify({ ...probe, op: this.#name() })],
      )
      return BigInt(rows[0]?.sequence ?? 0) as EventSequence
    })
    // On a machine that has other things to do, work takes its time: who moves is not stuck.
    let grace = 0
    const patience = left()
    let at = ''
    for (const name of [...keepers, ...followers]) {
      await insist(
        `${name} to handle it`,
        () => left() + grace,
        async () => {
          for (;;) {
            try {
              await this.#app.waitFor(name, sequence, { timeout: 2_000 })
              return
            } catch (error) {
              if (name === 'halting' && isTidemarkError(error, 'TIDEMARK_LISTENER_HALTED')) return
              if (!isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT')) throw error
              const { rows } = await this.#pool.query<{ at: string }>(
                `SELECT string_agg(listener || partition || cursor, ' ' ORDER BY listener, partition) AS at
                 FROM tidemark.cursors WHERE listener = $1`,
                [name],
              )
              const now = rows[0]?.at ?? ''
              if (now !== at) grace = Math.min(300_000, patience - left())
              at = now
              if (left() + grace < 0) throw error
            }
          }
        },
      )
    }
  }

  /** How far the slowest listener is behind. */
  async lag(): Promise<number> {
    const { rows } = await this.#pool.query<{ lag: number }>(
      `SELECT (pg_sequence_last_value('tidemark.events_sequence'::regclass) - min(cursor))::integer AS lag
       FROM tidemark.cursors c JOIN tidemark.listeners l ON l.name = c.listener AND l.generation = c.generation
       WHERE c.halted_at IS NULL AND l.mode = 'async'`,
    )
    return rows[0]?.lag ?? 0
  }

  /** Spawns a job, and waits until it has ended. */
  async runJob(bound: number): Promise<void> {
    const left = this.#pace.left(bound)
    const handle = await insist('a job that is spawned', left, () =>
      this.#app.jobs.spawn(settle, { op: this.#name() }),
    )
    for (;;) {
      try {
        await insist('the end of a job', left, () => handle.result({ timeout: 2_000 }))
        return
      } catch (error) {
        if (!isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT') || left() < 0) throw error
      }
    }
  }

  /** What there is to see when something does not go on. */
  async evidence(error: unknown): Promise<unknown> {
    const { rows: cursors } = await this.#pool.query(
      `SELECT l.name, l.status, c.partition, c.cursor, c.attempts, c.crashes, c.owner, c.lease_until,
         c.last_error ->> 'message' AS error
       FROM tidemark.listeners l JOIN tidemark.cursors c ON c.listener = l.name ORDER BY 1, 3`,
    )
    const { rows: publishers } = await this.#pool.query('SELECT * FROM tidemark.publishers')
    const { rows: jobs } = await this.#pool.query(
      `SELECT name, status, count(*)::integer, min(run_at) AS first, max(attempt) AS attempt FROM tidemark.jobs
       WHERE status NOT IN ('completed', 'cancelled') GROUP BY 1, 2`,
    )
    const { rows: sessions } = await this.#pool.query(
      `SELECT pid, application_name, state, wait_event, pg_blocking_pids(pid) AS blocked_by, left(query, 120) AS query
       FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`,
    )
    return { error: String(error), cursors, publishers, jobs, sessions }
  }

  /** Decides what was prepared and whose coordinator has lost its connection: it holds the horizon for as long. */
  async decidePrepared(age: string): Promise<void> {
    const { rows } = await this.#pool.query<{ gid: string }>(
      `SELECT gid FROM pg_prepared_xacts
       WHERE database = current_database() AND prepared < clock_timestamp() - $1::interval`,
      [age],
    )
    for (const { gid } of rows) {
      const end = this.#random.chance(0.5) ? 'COMMIT' : 'ROLLBACK'
      // Its own coordinator may be about to do so, late.
      await this.#pool.query(`${end} PREPARED '${gid}'`).catch(() => {})
    }
  }

  #name(): string {
    return `probe-${++this.#probes}`
  }
}

const probe = { from: 'probe', to: 'probe', cents: '1', kind: 'plain', job: 'none' }

/** Tries again until it is done or the time is over. @param what - what it is that is waited for, for the error. */
export async function insist<T>(what: string, left: Left, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await within(what, left, work())
    } catch (error) {
      if (left() < 0 || isTidemarkError(error, 'TIDEMARK_WAIT_TIMEOUT')) throw error
      await delay(50)
    }
  }
}
