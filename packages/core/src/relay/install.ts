import type { Executor } from '../database/executor.ts'

/** The identity of an outbox: made when its schema is, and kept by backups. */
export async function readInstall(executor: Executor, schema: string): Promise<string> {
  const { rows } = await executor.query(`SELECT id::text FROM "${schema}".installation`)
  return rows[0]?.['id'] as string
}
