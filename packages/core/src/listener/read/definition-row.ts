import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { lockListener } from '../../database/sql/listener/definitions.ts'
import type { Consumer } from './consumer.ts'

/** A listener as the database knows it. */
export interface DefinitionRow {
  /** Whether it was unknown until now. */
  readonly created: boolean
  readonly kind: 'listener' | 'projection'
  readonly mode: 'async' | 'inline'
  readonly version: number
  readonly generation: number
  /** The version that is being built beside the live one; null: none is. */
  readonly rebuildVersion: number | null
  /** What its table was written by so far, if it has one. */
  readonly mapping: object | null
  /** How many partitions it has, or will have when a change under way is over. */
  readonly partitions: number
}

/** What is written down of a definition: the types that it handles, its names before, and what its table is written by. */
export function definitionOf({ types, aliases = [], mapping }: Consumer): string {
  return JSON.stringify({ types: [...types], aliases, mapping })
}

/** Makes sure that a listener has a row and locks it until the transaction ends. */
export async function lockDefinition(
  executor: Executor | PreparingExecutor,
  schema: string,
  consumer: Consumer,
): Promise<DefinitionRow> {
  const { name, kind, mode, version, partitions } = consumer
  const values = [name, kind, mode, version, definitionOf(consumer), partitions]
  const { rows } = await run(executor, lockListener(schema), values)
  return rows[0] as unknown as DefinitionRow
}
