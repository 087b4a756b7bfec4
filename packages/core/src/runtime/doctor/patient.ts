import type { Database } from '../../database/pool.ts'
import type { EventRegistry } from '../../event/registry.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import type { ListenerAdmin } from '../../listener/steered/admin.ts'
import type { DeadLetterAdmin } from '../../listener/steered/dead-letter-admin.ts'
import type { ProcessAdmin } from '../../listener/steered/process-admin.ts'
import type { OutboxAdmin } from '../../outbox/kept/admin.ts'
import type { RebuildAdmin } from '../../projection/rebuilt/rebuild-admin.ts'
import type { Finding } from './finding.ts'

/** The application that checks look at. */
export interface ExaminedApp {
  readonly schema: string
  readonly database: Database
  readonly registry: EventRegistry
  readonly consumers: readonly Consumer[]
  readonly listeners: ListenerAdmin
  readonly deadLetters: DeadLetterAdmin
  readonly outbox: OutboxAdmin
  readonly rebuilds: RebuildAdmin
  readonly processes: ProcessAdmin
}

/** What checks look at. */
export interface Patient {
  readonly app: ExaminedApp
  /** How long a transaction may publish before it is named, in milliseconds. */
  readonly publisherAge: number
  /** Whether what reads much is left out: this is asked again and again. */
  readonly quick: boolean
}

/** Looks at one thing. A check that finds several problems answers several findings. */
export interface Check {
  readonly name: string
  readonly look: (patient: Patient) => Promise<readonly Finding[]>
}

/** Runs a statement, typed by whoever knows its columns. */
export type Query = <Row>(text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

/** Reads with statements that need not be of one moment. */
export async function reading<T>(
  { database }: Pick<ExaminedApp, 'database'>,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  return work(async <Row>(text: string, values: readonly unknown[] = []) => {
    const { rows } = await database.query(text, [...values])
    return rows as unknown as readonly Row[]
  })
}
