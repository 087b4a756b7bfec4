import { run, type Executor, type PreparingExecutor } from '../database/executor.ts'
import { lockListener } from '../database/sql/definitions.ts'
import type { Consumer } from './consumer.ts'

/** A listener as the database knows it. */
export interface DefinitionRow {
  /** Whether it was unknown until now. */
  readonly created: boolean
  readonly kind: 'listener' | 'projection'
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly generation: number
  /** How many partitions it has, or will have when a change under way is over. */
  readonly partitions: number
}

/** Makes sure that a listener has a row and locks it until the transaction ends. */
export async function lockDefinition(
  executor: Executor | PreparingExecutor,
  schema: string,
  consumer: Consumer,
): Promise<DefinitionRow> {
  const { name, kind, mode, version, types, partitions } = consumer
  const definition = JSON.stringify({ types: [...types] })
  const values = [name, kind, mode, version, definition, partitions]
  const { rows } = await run(executor, lockListener(schema), values)
  return rows[0] as unknown as DefinitionRow
}
