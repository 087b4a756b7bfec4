import type { Database } from '../../database/pool.ts'
import { brief, inTransaction } from '../../database/transaction/transaction.ts'
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

/** Runs statements of one transaction, typed by whoever knows their columns. */
export type Query = <Row>(text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

/** Reads with several statements in one transaction. */
export async function reading<T>(
  { database }: Pick<ExaminedApp, 'database'>,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const [result] = await inTransaction(database, brief, (tx) =>
    work(async <Row>(text: string, values: readonly unknown[] = []) => {
      const { rows } = await tx.query(text, [...values])
      return rows as unknown as readonly Row[]
    }),
  )
  return result
}
