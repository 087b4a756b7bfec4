import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { horizon as horizonStatement } from '../../database/sql/outbox/horizon.ts'
import type { EventSequence } from '../../event/sequence.ts'

/** What one look at the outbox found. */
export interface Horizon {
  /** Every publisher's outcome at or below it is settled: the least of the two below. */
  readonly sequence: EventSequence
  /** The last number drawn. */
  readonly lastSequence: EventSequence
  /** Whether a transaction is publishing now. */
  readonly publishing: boolean
  /**
   * Whether nothing was drawn while the publishers were looked at. Only then does "nobody publishes" mean that
   * whoever published before is at or below `lastSequence`; a process that goes to sleep must know.
   */
  readonly still: boolean
}

/** Looks at the outbox. Rows up to the horizon must be read by a later statement. */
export async function readHorizon(
  executor: Executor | PreparingExecutor,
  schema: string,
): Promise<Horizon> {
  const { rows } = await run(executor, horizonStatement(schema), [])
  return horizonOf(rows[0] as unknown as HorizonRow)
}

/** What the server answers to a look. */
export interface HorizonRow {
  readonly last_sequence: string
  readonly lowest_floor: string | null
  readonly still: boolean
}

export function horizonOf(row: HorizonRow): Horizon {
  const lastSequence = BigInt(row.last_sequence) as EventSequence
  const floor = row.lowest_floor === null ? null : (BigInt(row.lowest_floor) as EventSequence)
  return {
    sequence: floor !== null && floor < lastSequence ? floor : lastSequence,
    lastSequence,
    publishing: floor !== null,
    still: row.still,
  }
}
