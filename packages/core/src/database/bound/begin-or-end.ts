/** A statement that begins or ends a transaction. */
export interface BeginOrEnd {
  readonly kind: 'begin' | 'commit' | 'rollback'
  /** What a BEGIN says of the transaction: its isolation level and the like. */
  readonly modes: string
}

const statement =
  /^\s*(?:(?<begin>begin|start\s+transaction)|(?<commit>commit|end)|(?<rollback>rollback|abort))\b(?:\s+(?:work|transaction))?\s*(?<modes>[^;]*?)\s*;?\s*$/iu

/** What an ORM says to begin or end a transaction; undefined for any other statement, one of savepoints too. */
export function beginOrEndOf(text: string): BeginOrEnd | undefined {
  const { begin, commit, rollback, modes = '' } = statement.exec(text)?.groups ?? {}
  if (begin !== undefined) return { kind: 'begin', modes }
  if (modes !== '') return undefined
  if (commit !== undefined) return { kind: 'commit', modes }
  return rollback === undefined ? undefined : { kind: 'rollback', modes }
}
