/** What happens at a statement: to the connection that it goes over, or to the whole process. */
export type FaultKind =
  | 'dies before'
  | 'dies after'
  | 'loses the connection before'
  | 'loses the answer to'

/** All kinds, the likeliest to matter first. */
export const faultKinds: readonly FaultKind[] = [
  'dies before',
  'loses the answer to',
  'dies after',
  'loses the connection before',
]

/** A fault, and the statement at which it strikes. */
export interface ExploredFault {
  readonly kind: FaultKind
  /** The text of the statement, shortened; a COMMIT is named with the statement before it. */
  readonly statement: string
  /** Which of the statements with this text it is: 1 for the first. */
  readonly nth: number
}

const control = /^(?:commit|rollback|savepoint|release|prepare transaction)\b/iu
const begin = /^(?:begin|start transaction|set |deallocate|listen|unlisten)\b/iu

/** Names the statements of one connection. */
export class StatementNames {
  readonly #prepared = new Map<string, string>()
  #last = 'nothing'

  /** Notes the text of a prepared statement. */
  prepare(name: string, text: string): void {
    this.#prepared.set(name, text)
  }

  /** The name of a statement that is executed; undefined when nothing can be lost at it. */
  executed(prepared: string): string | undefined {
    return this.name(this.#prepared.get(prepared) ?? prepared)
  }

  name(text: string): string | undefined {
    const short = shorten(text)
    if (short === '' || begin.test(short)) return undefined
    if (control.test(short)) return `${short.split(' ')[0] ?? ''} after ${this.#last}`
    this.#last = short
    return short
  }
}

const writes = /^(?:insert|update|delete|with|commit)\b|^select [^*]*\(/iu

/**
 * Puts faults into the order in which they are worth trying: the first of the statements with a text before the second,
 * those that write before those that read, and kinds by how likely they matter.
 */
export function byPromise(one: ExploredFault, other: ExploredFault): number {
  return rank(one) - rank(other)
}

function rank({ kind, statement, nth }: ExploredFault): number {
  return nth * 100 + (writes.test(statement) ? 0 : 10) + faultKinds.indexOf(kind)
}

function shorten(text: string): string {
  const line = text
    .replaceAll(/--.*$/gmu, '')
    .replaceAll(/\s+/gu, ' ')
    .replaceAll(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b/giu, '…')
    .replaceAll(/\b\d{3,}\b/gu, '…')
    .trim()
  return line.length > 100 ? `${line.slice(0, 99)}…` : line
}
