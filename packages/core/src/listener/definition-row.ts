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
}

/** Makes sure that a listener has a row and locks it until the transaction ends. */
export async function lockDefinition(
  executor: Executor | PreparingExecutor,
  schema: string,
  consumer: Consumer,
): Promise<DefinitionRow> {
  const { name, kind, mode, version, types } = consumer
  const definition = JSON.stringify({ types: [...types] })
  const { rows } = await run(executor, lockListener(schema), [
    name,
    kind,
    mode,
    version,
    definition,
  ])
  return rows[0] as unknown as DefinitionRow
}
