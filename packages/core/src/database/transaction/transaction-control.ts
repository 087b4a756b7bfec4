import { TidemarkError } from '../../errors/tidemark-error.ts'

/** The prefix of savepoints that are Tidemark's own. */
export const ownSavepoint = 'tidemark_'

/** What a text that may be sent inside of somebody's transaction can do to that transaction. */
export interface Verdict {
  /** The statement that would end, begin or take over the transaction; undefined: there is none. */
  readonly refused: string | undefined
  /** How many answers may say `ROLLBACK`, because they are of `ROLLBACK TO`. */
  readonly rollbacksTo: number
  /** How many answers may say `PREPARE`, because they are of prepared statements. */
  readonly prepares: number
  /** Whether only the server can tell how many statements it is: then it must be asked to take one only. */
  readonly single: boolean
}

const harmless: Verdict = { refused: undefined, rollbacksTo: 0, prepares: 0, single: false }

// A keyword cannot be written in any other way, so a text without these words is harmless; nearly all are.
const suspicious = /\b(?:begin|start|commit|end|abort|rollback|prepare|savepoint|release)\b/iu

/**
 * What a text does to the transaction that it is sent in. Looks at each of its statements: comments, strings and
 * function bodies do not count.
 */
export function verdictOn(text: string): Verdict {
  return suspicious.test(text) ? judge(text) : harmless
}

/** The error of a handler that wants to steer its own transaction. */
export function controlError(owner: string, what: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_TRANSACTION_CONTROL',
    `${owner} may not run ${what}: the transaction is not its own to end`,
    { details: { owner, statement: what } },
  )
}

function judge(text: string): Verdict {
  // Whether a backslash escapes a quote depends on a setting of the session: dangerous is what is so in either way.
  const readings = text.includes('\\') ? [false, true] : [false]
  let verdict = harmless
  for (const escapes of readings) {
    const reading = read(text, escapes)
    // The server refuses it as a whole, so nothing of it runs.
    if (reading === undefined) continue
    verdict = {
      refused: verdict.refused ?? reading.refused,
      rollbacksTo: Math.max(verdict.rollbacksTo, reading.rollbacksTo),
      prepares: Math.max(verdict.prepares, reading.prepares),
      single: verdict.single || reading.single,
    }
  }
  return verdict
}

function read(text: string, escapes: boolean): Verdict | undefined {
  const statements = statementsOf(text, escapes)
  if (statements === undefined) return undefined
  let refused: string | undefined
  let rollbacksTo = 0
  let prepares = 0
  let single = false
  for (const words of statements) {
    refused ??= controlIn(words)
    if (words[0] === 'rollback') rollbacksTo += 1
    if (words[0] === 'prepare') prepares += 1
    if (words[0] !== 'create' || !hasAtomicBody(words)) continue
    // The body of such a function has statements of its own, which end like any other.
    single = true
    break
  }
  return { refused, rollbacksTo, prepares, single }
}

function hasAtomicBody(words: readonly string[]): boolean {
  return words.some((word, index) => word === 'begin' && words[index + 1] === 'atomic')
}

/** The control that a statement has over its transaction, by name; undefined: none. */
function controlIn(words: readonly string[]): string | undefined {
  const [first, second] = words
  switch (first) {
    case 'begin':
    case 'commit':
    case 'abort':
    case 'end':
      return first.toUpperCase()
    case 'start':
      return 'START TRANSACTION'
    case 'prepare':
      return second === 'transaction' ? 'PREPARE TRANSACTION' : undefined
    case 'savepoint':
      return foreignSavepoint('SAVEPOINT', words.slice(1))
    case 'release':
      return foreignSavepoint('RELEASE', words.slice(second === 'savepoint' ? 2 : 1))
    case 'rollback': {
      const rest = words.slice(second === 'work' || second === 'transaction' ? 2 : 1)
      if (rest[0] !== 'to') return rest[0] === 'prepared' ? 'ROLLBACK PREPARED' : 'ROLLBACK'
      return foreignSavepoint('ROLLBACK TO', rest.slice(rest[1] === 'savepoint' ? 2 : 1))
    }
    default:
      return undefined
  }
}

/** A handler may have savepoints: those that it makes. One that is written so that it cannot be read is refused. */
function foreignSavepoint(what: string, [name = '', next]: readonly string[]): string | undefined {
  const unreadable = name === 'u' && next === '&'
  return unreadable || name.replace('"', '').startsWith(ownSavepoint)
    ? `${what} of a savepoint of Tidemark's`
    : undefined
}

// One token at a time; what is between them are blanks and comments.
const token =
  /(?<line>--[^\n\r]*)|(?<block>\/\*)|(?<string>(?<=(?:^|[^\w$\u0080-\u{10ffff}])(?<escaping>[eE])|)')|(?<identifier>")|(?<dollar>\$(?:[A-Za-z_\u0080-\u{10ffff}][\w\u0080-\u{10ffff}]*)?\$)|(?<word>[A-Za-z_\u0080-\u{10ffff}][\w$\u0080-\u{10ffff}]*)|(?<number>\d[\w.]*)|(?<other>\S)/gu

/**
 * The words and signs of each statement, in lower case; undefined when a string or a comment does not end.
 *
 * @param escapes - whether a backslash escapes a quote in any string (`standard_conforming_strings = off`).
 */
function statementsOf(text: string, escapes: boolean): readonly string[][] | undefined {
  const statements: string[][] = []
  let words: string[] = []
  // The end of the last string, where backslashes escaped: another that begins on a later line goes on with it.
  let escaped: number | undefined
  token.lastIndex = 0
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const { groups = {}, index } = match
    const { line, block, string, escaping, identifier, dollar, word, number, other } = groups
    let end: number | undefined = token.lastIndex
    if (block !== undefined) end = endOfComment(text, index)
    else if (string !== undefined) {
      const goesOn = escaped !== undefined && /[\n\r]/u.test(text.slice(escaped, index))
      const isEscaped = escapes || escaping !== undefined || goesOn
      end = endOfQuoted(text, end, "'", isEscaped)
      words.push("'")
      escaped = isEscaped ? end : undefined
    } else if (identifier !== undefined) {
      const start = end
      end = endOfQuoted(text, start, '"', false)
      words.push(`"${text.slice(start, (end ?? start) - 1).toLowerCase()}`)
    } else if (dollar !== undefined) {
      const close = text.indexOf(dollar, end)
      end = close < 0 ? undefined : close + dollar.length
      words.push("'")
    } else if (other === ';') {
      if (words.length > 0) statements.push(words)
      words = []
    } else if (word !== undefined) words.push(word.toLowerCase())
    else if (number !== undefined || other !== undefined) words.push(number ?? other ?? '')
    if (end === undefined) return undefined
    if (string === undefined && block === undefined && line === undefined) escaped = undefined
    token.lastIndex = end
  }
  if (words.length > 0) statements.push(words)
  return statements
}

/** Comments nest. */
function endOfComment(text: string, start: number): number | undefined {
  let depth = 0
  const mark = /\/\*|\*\//gu
  mark.lastIndex = start
  for (let match = mark.exec(text); match !== null; match = mark.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1
    if (depth === 0) return mark.lastIndex
  }
  return undefined
}

function endOfQuoted(
  text: string,
  start: number,
  quote: string,
  escapes: boolean,
): number | undefined {
  for (let at = start; at < text.length; at++) {
    if (escapes && text[at] === '\\') at += 1
    else if (text[at] === quote) {
      if (text[at + 1] === quote) at += 1
      else return at + 1
    }
  }
  return undefined
}
