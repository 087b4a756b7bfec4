import { setTimeout as delay } from 'node:timers/promises'
import { toEventSequence, type App, type EventSequence } from 'tidemark'
import { TestingError } from '../testing-error.ts'
import { realNow } from './real-time.ts'

/** How to wait for everything. */
export interface IdleOptions {
  /** How long at most, in milliseconds. Defaults to 30000. */
  readonly timeout?: number
}

const pollInterval = 10

/**
 * Waits until everything that was published has been handled by every listener and projection that some process runs,
 * and so has what their handlers published, and what was to be tried again. Rebuilds are waited for, paused listeners
 * are not.
 *
 * @returns the last sequence.
 * @throws TestingError TIDEMARK_TESTING_NOT_IDLE: at once when a listener has halted, with its error; when the time is
 * over, with who is behind.
 *
 * @example
 * ```ts
 * import { waitForIdle } from '@tidemark/testing'
 *
 * await using runner = await tidemark.start({ handleSignals: false })
 * await waitForIdle(tidemark)
 * ```
 */
export async function waitForIdle(
  app: App,
  { timeout = 30_000 }: IdleOptions = {},
): Promise<EventSequence> {
  const deadline = realNow() + timeout
  for (;;) {
    const work = await look(app)
    const halted = work.busy.filter((one) => one.halted)
    if (halted.length > 0) {
      throw notIdle(
        `${halted.length === 1 ? 'a listener has' : 'listeners have'} halted`,
        halted.map(describe),
        'Mend what the error says, or wait for the listeners that you need with `waitFor`.',
      )
    }
    if (!work.running) {
      throw notIdle(
        'no process runs listeners',
        [],
        'Start them with `app.start()`, or call `drain(app)`, which does.',
      )
    }
    if (work.busy.length === 0) return work.last
    if (realNow() > deadline) {
      throw notIdle(
        `there is work left after ${timeout} ms`,
        work.busy.map(describe),
        'If a listener waits for its next attempt, `skipBackoff(app)` makes that come at once.',
      )
    }
    await delay(pollInterval)
  }
}

/** A partition that has work left. */
interface Busy {
  readonly listener: string
  readonly partition: number
  readonly cursor: number
  readonly last: number
  readonly halted: boolean
  readonly rebuilding: boolean
  /** Dead letters that are to be tried again. */
  readonly retries: number
  readonly attempts: number
  readonly error: string | null
}

interface Work {
  readonly last: EventSequence
  readonly running: boolean
  readonly busy: readonly Busy[]
}

/** Everything in one snapshot: what a handler publishes commits together with its cursor. */
async function look(app: App): Promise<Work> {
  const schema = `"${app.schema}"`
  const { result } = await app.transaction((tx) =>
    tx.query(`
      WITH outbox AS (SELECT coalesce(max(sequence), 0) AS last FROM ${schema}.events),
      alive AS (SELECT * FROM ${schema}.processes WHERE heartbeat_at > clock_timestamp() - interval '60 s')
      SELECT last::text, EXISTS (SELECT FROM alive) AS running, (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
          'listener', l.name, 'partition', c.partition, 'cursor', c.cursor, 'last', last,
          'halted', c.halted_at IS NOT NULL, 'rebuilding', c.generation <> l.generation,
          'retries', d.retries, 'attempts', c.attempts,
          'error', coalesce(c.last_error -> 'cause' ->> 'message', c.last_error ->> 'message')
        ) ORDER BY l.name, c.partition), '[]')
        FROM ${schema}.listeners l
        JOIN ${schema}.cursors c ON c.listener = l.name
        CROSS JOIN LATERAL (
          SELECT count(*) AS retries FROM ${schema}.dead_letters d
          WHERE d.listener = l.name AND d.generation = c.generation AND d.state = 'retry') AS d
        WHERE l.mode = 'async' AND l.status <> 'paused'
          AND NOT (c.generation <> l.generation AND l.rebuild_paused)
          AND (c.cursor < last OR d.retries > 0 OR c.generation <> l.generation)
          AND EXISTS (
            SELECT FROM alive, jsonb_array_elements(alive.definitions) AS runs (one)
            WHERE one ->> 'name' = l.name)
      ) AS busy
      FROM outbox`),
  )
  const [row] = result.rows
  return {
    last: toEventSequence(row?.['last'] as string),
    running: row?.['running'] as boolean,
    busy: row?.['busy'] as readonly Busy[],
  }
}

function describe({
  listener,
  partition,
  cursor,
  last,
  rebuilding,
  retries,
  attempts,
  error,
}: Busy): string {
  return [
    `${listener}${partition > 0 ? `, partition ${partition}` : ''}: at ${cursor} of ${last}`,
    rebuilding ? 'being rebuilt' : '',
    retries > 0 ? `${retries} dead letters to be tried again` : '',
    attempts > 0 ? `${attempts} attempts failed` : '',
    error ?? '',
  ]
    .filter((part) => part !== '')
    .join('; ')
}

function notIdle(what: string, lines: readonly string[], hint: string): TestingError {
  const message = [what, ...lines.map((line) => `  - ${line}`)].join('\n')
  return new TestingError('TIDEMARK_TESTING_NOT_IDLE', message, hint)
}
