import { run, type PreparingExecutor } from '../../database/executor.ts'
import { progressOf } from '../../database/sql/listener/cursors.ts'
import { requireText, shown } from '../../errors/checked-text.ts'
import { requireSignal } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventSequence } from '../../event/sequence.ts'
import { milliseconds, type Duration } from '../declared/backoff.ts'
import type { CursorSignals } from '../leased/cursor-signals.ts'

/** How to wait for listeners. */
export interface WaitOptions {
  /** How long at most, for all of them together. Defaults to 10 s. */
  readonly timeout?: Duration
  /**
   * What happens when the time is over: `'throw'` TIDEMARK_WAIT_TIMEOUT, or `'return'` false. Defaults to `'throw'`.
   */
  readonly onTimeout?: 'throw' | 'return'
  readonly signal?: AbortSignal
}

interface ProgressRow {
  readonly name: string
  readonly status: string
  readonly cursor: string | null
  readonly last_error: unknown
}

const firstPoll = 2
const longestPoll = 50
// Where this process runs the listeners, it is woken.
const longestPollWhenWoken = 250

/**
 * Waits until every partition of the listeners has come to `sequence`. Answers whether they have: false only with
 * `onTimeout: 'return'`.
 *
 * @throws TidemarkError TIDEMARK_WAIT_TIMEOUT, TIDEMARK_LISTENER_HALTED (at once: it will not get there) or
 * TIDEMARK_UNKNOWN_LISTENER.
 */
export async function waitForCursors(
  executor: PreparingExecutor,
  schema: string,
  signals: CursorSignals,
  listeners: readonly string[],
  sequence: EventSequence,
  options: WaitOptions = {},
): Promise<boolean> {
  const { signal, onTimeout = 'throw' } = options
  const timeout = milliseconds(options.timeout ?? '10s')
  const deadline = performance.now() + timeout
  let pending = [...new Set(listeners)]
  // Before the first look: what commits after it wakes us.
  using wait = signals.wait(pending, sequence)
  for (let poll = firstPoll; ; poll *= 2) {
    signal?.throwIfAborted()
    const rows = await progress(executor, schema, pending)
    const behind = rows.filter(({ cursor }) => cursor === null || BigInt(cursor) < sequence)
    const halted = behind.find(({ status }) => status === 'halted')
    if (halted !== undefined) throw haltedError(halted, sequence)
    if (behind.length === 0) return true
    pending = behind.map(({ name }) => name)
    if (performance.now() >= deadline) {
      if (onTimeout === 'return') return false
      throw timeoutError(behind, sequence, timeout)
    }
    const longest = pending.every((name) => signals.runs(name)) ? longestPollWhenWoken : longestPoll
    await wait.next(Math.min(poll, longest, deadline - performance.now()), signal)
  }
}

/**
 * Checks options that were given.
 *
 * @param others - what else could have been given there, for the hint.
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function checkWaitOptions(
  where: string,
  options: WaitOptions,
  others: readonly string[] = [],
): WaitOptions {
  rejectUnknownOptions(where, options, [...others, 'timeout', 'onTimeout', 'signal'])
  const { onTimeout, signal } = options
  if (signal !== undefined) requireSignal(where, 'signal', signal)
  if (onTimeout === undefined || onTimeout === 'throw' || onTimeout === 'return') return options
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "onTimeout" must be "throw" or "return", not ${shown(onTimeout)}`,
    { details: { onTimeout } },
  )
}

/** How far the listeners have come: a row for each. */
async function progress(
  executor: PreparingExecutor,
  schema: string,
  listeners: readonly string[],
): Promise<readonly ProgressRow[]> {
  for (const name of listeners) requireText('waitFor', 'listener', name)
  const { rows } = await run(executor, progressOf(schema), [listeners])
  const known = rows as unknown as readonly ProgressRow[]
  const unknown = listeners.find((name) => !known.some((row) => row.name === name))
  if (unknown === undefined) return known
  throw new TidemarkError(
    'TIDEMARK_UNKNOWN_LISTENER',
    `no listener or projection is named "${unknown}"`,
    { details: { listener: unknown } },
  )
}

function haltedError(row: ProgressRow, sequence: EventSequence): TidemarkError {
  const details = detailsOf(row, sequence)
  return new TidemarkError(
    'TIDEMARK_LISTENER_HALTED',
    `${row.name} has halted at ${details.cursor} and will not reach ${sequence}`,
    { details },
  )
}

function timeoutError(
  behind: readonly ProgressRow[],
  sequence: EventSequence,
  timeout: number,
): TidemarkError {
  const each = behind.map((row) => `${row.name} (${row.status}) is at ${row.cursor ?? 0}`)
  const details = detailsOf(behind[0] as ProgressRow, sequence)
  return new TidemarkError(
    'TIDEMARK_WAIT_TIMEOUT',
    `${each.join(', ')}, not yet at ${sequence}, after ${timeout} ms`,
    { details: { ...details, behind: behind.map(({ name }) => name) } },
  )
}

function detailsOf(
  { name, status, cursor, last_error: lastError }: ProgressRow,
  sequence: EventSequence,
): Record<string, unknown> & { readonly cursor: bigint } {
  return { listener: name, sequence, cursor: BigInt(cursor ?? 0), status, lastError }
}
