import { messageOf } from '../../errors/describe-error.ts'
import { field } from '../../errors/foreign-value.ts'
import { causesOf } from '../../errors/origin.ts'
import { isTidemarkError, TidemarkError } from '../../errors/tidemark-error.ts'

/**
 * Why an attempt is to stop:
 * - `pause`, `cancel`: somebody asked for it; it stops where it looks.
 * - `drain`: its process ends soon; it stops at the next checkInterrupt() or goes on to its end.
 * - `shutdown`: its process waits no longer. `timeout`: it took too long. `lost`: it is another's by now. `uncaught`: its
 *   code threw where nothing could catch it. These four cut it off: its transactions are destroyed and nothing it writes
 *   later counts.
 */
export type Interruption =
  | 'pause'
  | 'cancel'
  | 'drain'
  | 'shutdown'
  | 'timeout'
  | 'lost'
  | 'uncaught'

const cuts: ReadonlySet<Interruption> = new Set(['shutdown', 'timeout', 'lost', 'uncaught'])

/** Whether the attempt is cut off rather than asked. */
export function cutsOff(interruption: Interruption): boolean {
  return cuts.has(interruption)
}

/** Whether an error says that an attempt was asked to stop, in whatever wrapping. */
export function saysInterrupted(error: unknown): boolean {
  return causesOf(error).some((cause) => isTidemarkError(cause, 'TIDEMARK_JOB_INTERRUPTED'))
}

/** Whether an error says that an interruption came through: the reason itself, or what an aborted call makes of it. */
export function comesOf(reason: unknown, error: unknown): boolean {
  return (
    error === reason || field(error, 'name') === 'AbortError' || field(error, 'cause') === reason
  )
}

/**
 * The error that a job sees.
 *
 * @param cause - what its code threw, where that interrupts it.
 */
export function interruptionError(
  name: string,
  id: string,
  interruption: Interruption,
  timeout: number,
  cause?: unknown,
): TidemarkError {
  const details = { name, id, reason: interruption }
  switch (interruption) {
    case 'lost':
      return new TidemarkError(
        'TIDEMARK_JOB_LOST',
        `${name} ${id} is not this attempt's any more`,
        {
          details,
        },
      )
    case 'timeout':
      return new TidemarkError(
        'TIDEMARK_JOB_TIMEOUT',
        `${name} ${id} took more than ${timeout} ms`,
        { details },
      )
    case 'uncaught':
      return new TidemarkError(
        'TIDEMARK_JOB_UNCAUGHT',
        `${name} ${id} threw where nothing could catch it: ${messageOf(cause)}`,
        { details, cause },
      )
    case 'pause':
    case 'cancel':
    case 'drain':
    case 'shutdown':
      return new TidemarkError(
        'TIDEMARK_JOB_INTERRUPTED',
        `${name} ${id} was interrupted: ${interruption}`,
        { details },
      )
    default:
      return interruption satisfies never
  }
}
