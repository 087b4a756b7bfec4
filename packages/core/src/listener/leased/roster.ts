import { run, type PreparingExecutor } from '../../database/executor.ts'
import { readRoster } from '../../database/sql/listener/cursors.ts'
import type { AssignablePartition, LiveProcess } from './assignment.ts'

/** Who is alive, and what there is to run. */
export interface Roster {
  readonly processes: readonly LiveProcess[]
  readonly partitions: readonly AssignablePartition[]
}

/**
 * Reads what partitions are assigned from.
 *
 * @param silence - a process that has not been heard of for so many milliseconds counts as dead.
 */
export async function loadRoster(
  executor: PreparingExecutor,
  schema: string,
  silence: number,
): Promise<Roster> {
  const { rows } = await run(executor, readRoster(schema), [silence])
  return rows[0] as unknown as Roster
}
