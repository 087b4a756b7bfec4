import type { App } from 'tidemark'
import type { DatabaseTemplate } from '../database/template.ts'
import type { TestDatabase } from '../database/test-database.ts'

/** A story that is told again and again, with other faults each time. */
export interface Scenario {
  /** Tables and rows of the application that each telling begins with. Defaults to none. */
  readonly template?: DatabaseTemplate
  /** Called before each telling: empties what the test keeps in memory. */
  readonly before?: () => unknown
  /** What happens, on connections that are never cut: publishes, spawns, calls commands. */
  readonly when: (app: App) => unknown
  /** Throws when something is not as it must be. Everything has come to rest by then. */
  readonly invariant: (app: App, database: TestDatabase) => unknown
}
