// Node hands it to revivers; its type definitions do not know it yet.
type Reviver = (this: object, key: string, value: unknown, context: { source?: string }) => unknown

/**
 * Parses JSON that somebody wrote, with what `JSON.parse` would round: whole numbers beyond those that JavaScript's are
 * sure of come as bigints. `fromJson` makes of them what a schema asks for.
 *
 * @throws SyntaxError
 *
 * @example
 * ```ts
 * import { parseJson } from 'tidemark'
 *
 * console.log(parseJson('[5, 9007199254740993]')) // [ 5, 9007199254740993n ]
 * ```
 */
export function parseJson(text: string): unknown {
  return parse(text, (value, source) => (isWhole(source) ? BigInt(source) : value))
}

/**
 * Parses JSON that is stored. What no number of JavaScript would have been written as comes as a bigint: 9007199254740993
 * is one (it would be read as …992); 1e300 and 100000000000000000000 are not, which numbers are written as.
 *
 * @throws SyntaxError
 */
export function parseStoredJson(text: string): unknown {
  return parse(text, storedNumber)
}

/** What {@link parseStoredJson} makes of a number that is not sure. */
export function storedNumber(value: number, source: string | undefined): number | bigint {
  return isWhole(source) && digitsOf(value) !== source ? BigInt(source) : value
}

/**
 * Parses JSON that is to be written again with its numbers as they were: what JavaScript's would change is kept as its text,
 * which `JSON.stringify` writes. Nobody can reckon with it.
 *
 * @throws SyntaxError
 */
export function parseKeepingNumbers(text: string): unknown {
  const revive: Reviver = (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? rawJson(source)
      : value
  return JSON.parse(text, revive as Parameters<typeof JSON.parse>[1])
}

// Node has it; its type definitions do not know it yet.
const { rawJSON: rawJson } = JSON as unknown as { readonly rawJSON: (text: string) => object }

type NumberOf = (value: number, source: string | undefined) => number | bigint

function parse(text: string, numberOf: NumberOf): unknown {
  // Reviving costs more than parsing: only where there is a number so long.
  if (!hasLongNumber(text)) return JSON.parse(text)
  const revive: Reviver = (_, value, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) ? numberOf(value, source) : value
  return JSON.parse(text, revive as Parameters<typeof JSON.parse>[1])
}

// Beyond those that JavaScript's numbers are sure of.
const longNumber = 16

/**
 * Whether 16 digits stand in a row somewhere. One of them stands at a multiple of 16: a regular expression, which looks at
 * each character, took longer than to parse the text.
 */
function hasLongNumber(text: string): boolean {
  for (let at = longNumber - 1; at < text.length; at += longNumber) {
    if (!isDigit(text, at)) continue
    let start = at
    while (isDigit(text, start - 1)) start -= 1
    let end = at + 1
    while (isDigit(text, end)) end += 1
    if (end - start >= longNumber) return true
  }
  return false
}

/** Also past the ends of the text: NaN is no digit. */
function isDigit(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 48 && code <= 57
}

/** Whether the text of a number has digits only. */
export function isWhole(source: string | undefined): source is string {
  return source !== undefined && /^-?\d+$/u.test(source)
}

/** A whole number in digits, as JSON has it that was made of it; undefined for what is no whole number. */
export function digitsOf(whole: number): string | undefined {
  if (!Number.isInteger(whole)) return undefined
  const [, sign = '', first = '', rest = '', exponent] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e\+(\d+))?$/u.exec(String(whole)) ?? []
  return exponent === undefined
    ? String(whole)
    : `${sign}${first}${rest.padEnd(Number(exponent), '0')}`
}
