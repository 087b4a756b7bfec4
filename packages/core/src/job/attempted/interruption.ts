import { TidemarkError } from '../../errors/tidemark-error.ts'

/**
 * Why an attempt is to stop:
 * - `pause`, `cancel`: somebody asked for it; it stops where it looks.
 * - `drain`: its process ends soon; it stops at the next checkInterrupt() or goes on to its end.
 * - `shutdown`: its process waits no longer. `timeout`: it took too long. `lost`: it is another's by now. These three
 *   cut it off: its transactions are destroyed and nothing it writes later counts.
 */
export type Interruption = 'pause' | 'cancel' | 'drain' | 'shutdown' | 'timeout' | 'lost'

/** Whether the attempt is cut off rather than asked. */
export function cutsOff(interruption: Interruption): boolean {
  return interruption === 'shutdown' || interruption === 'timeout' || interruption === 'lost'
}

/** The error that a job sees. */
export function interruptionError(
  name: string,
  id: string,
  interruption: Interruption,
  timeout: number,
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
