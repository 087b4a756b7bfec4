import { databaseFaults, operatorFaults } from './database-faults.ts'
import { processFaults } from './process-faults.ts'
import { serverFaults } from './server-faults.ts'
import type { FaultKind } from './stage.ts'

/** All kinds of faults. */
const catalog: readonly FaultKind[] = [
  ...processFaults,
  ...serverFaults,
  ...databaseFaults,
  ...operatorFaults,
]

/** Those that can be played here and whose name contains the text. */
export function faultsNamed(text: string): readonly FaultKind[] {
  return catalog.filter(({ name, possible }) => name.includes(text) && (possible?.() ?? true))
}
