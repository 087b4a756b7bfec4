/** Something that Tidemark promises and that was not so. */
export interface Violation {
  /** What is promised, as a sentence. */
  readonly promise: string
  /** What was found instead. */
  readonly evidence: unknown
}

/** Where an oracle looks: a connection of its own, which no fault touches. */
export interface Books {
  query(text: string): Promise<{ readonly rows: readonly unknown[] }>
}

/** A query that finds what must not be, and what it would break. */
export interface Check {
  readonly promise: string
  readonly finds: string
}

/** Runs checks; each row that one finds is evidence, of which the first few are kept. */
export async function runChecks(books: Books, checks: readonly Check[]): Promise<Violation[]> {
  const violations: Violation[] = []
  for (const { promise, finds } of checks) {
    const { rows } = await books.query(`${finds} LIMIT 5`)
    if (rows.length > 0) violations.push({ promise, evidence: rows })
  }
  return violations
}
