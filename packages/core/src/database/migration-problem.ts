import type { MigrationStatus } from './migrator.ts'

/**
 * What is wrong with a migration, and what to do; undefined when nothing is. What a newer version added without breaking
 * anything is fine.
 */
export function migrationProblem({ state, breaking }: MigrationStatus): string | undefined {
  if (state === 'pending') return 'is not applied yet; run `tidemark migrate up`'
  if (state === 'changed') {
    return 'was applied with another text than this version carries; restore the released package, or find out who changed the recorded checksum'
  }
  if (state === 'unknown' && breaking) {
    return 'is breaking and unknown to this version; deploy one that knows it'
  }
  return undefined
}
