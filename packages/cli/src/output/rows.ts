import type { App } from 'tidemark'

/** Runs statements of one transaction, typed by whoever knows their columns. */
export type Query = <Row>(text: string, values?: readonly unknown[]) => Promise<readonly Row[]>

/**
 * Reads with several statements in one transaction.
 *
 * INVARIANT: READ COMMITTED, whatever the database's default: rows up to a horizon are read by a statement whose
 * snapshot is newer than the horizon.
 */
export async function reading<T>(app: App, work: (query: Query) => Promise<T>): Promise<T> {
  const { result } = await app.transaction(
    async (tx) =>
      work(async <Row>(text: string, values: readonly unknown[] = []) => {
        const { rows } = await tx.query(text, [...values])
        return rows as unknown as readonly Row[]
      }),
    { isolation: 'read committed' },
  )
  return result
}
