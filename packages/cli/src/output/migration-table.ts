import type { MigrationStatus } from 'tidemark'
import type { Output } from './output.ts'

/** Prints migrations with their states. */
export function printMigrations(output: Output, status: readonly MigrationStatus[]): void {
  const { green, yellow, red } = output.colors
  const paint = { applied: green, pending: yellow, changed: red, unknown: red }
  output.list(
    status,
    [
      { heading: 'VERSION', value: (row) => row.version, align: 'right' },
      { heading: 'NAME', value: (row) => row.name },
      { heading: 'STATE', value: (row) => row.state, paint: (text, row) => paint[row.state](text) },
      { heading: 'BREAKING', value: (row) => (row.breaking ? 'yes' : 'no') },
      { heading: 'APPLIED AT', value: (row) => row.appliedAt },
    ],
    'There are no migrations.',
  )
}
