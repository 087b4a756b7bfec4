import { requireText, shown } from './checked-text.ts'
import { largestInteger } from './checked-values.ts'
import { TidemarkError } from './tidemark-error.ts'

/**
 * Throws TIDEMARK_INVALID_OPTION for the first key of `options` that is not in `known`, with the known
 * key that is closest to it, and for options that are no object. For packages that build on this one.
 *
 * @param where - what takes the options, for the message.
 *
 * @example
 * ```ts
 * import { rejectUnknownOptions } from 'tidemark'
 *
 * rejectUnknownOptions('createReport', { title: 'Day' }, ['title', 'rows'])
 * ```
 */
export function rejectUnknownOptions(
  where: string,
  options: object,
  known: readonly string[],
): void {
  requireOptions(where, options, `Its options are ${known.join(', ')}.`)
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const meant = closest(key, known)
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} has no option ${shown(key)}`, {
      hint:
        meant === undefined ? `Its options are ${known.join(', ')}.` : `Did you mean "${meant}"?`,
      details: { option: key, known },
    })
  }
}

/**
 * The options, when they are an object: before anything is taken out of them.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION.
 */
export function requireOptions<Options extends object>(
  where: string,
  options: Options,
  hint = 'Leave them out, or give an object.',
): Options {
  const given: unknown = options
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return options
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: the options are ${shown(given)}, not an object`,
    { hint, details: { option: null, value: shown(given) } },
  )
}

/**
 * Throws TIDEMARK_INVALID_OPTION unless `value` is a whole number of at least `least`.
 *
 * @param most - Defaults to what a column of type integer and a timer of Node take, 2,147,483,647.
 */
export function requireWhole(
  where: string,
  option: string,
  value: unknown,
  least: number,
  most: number = largestInteger,
): asserts value is number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return
  const range =
    typeof value === 'number' && value > most ? `from ${least} to ${most}` : `of at least ${least}`
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a whole number ${range}, not ${shown(value)}`,
    { details: { option, value: typeof value === 'number' ? value : shown(value) } },
  )
}

/** Throws TIDEMARK_INVALID_OPTION unless `value` is a function. */
export function requireFunction(where: string, option: string, value: unknown): void {
  if (typeof value === 'function') return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a function, not ${shown(value)}`,
    { details: { option } },
  )
}

/** Throws TIDEMARK_INVALID_OPTION unless `value` is true or false. */
export function requireBoolean(
  where: string,
  option: string,
  value: unknown,
): asserts value is boolean {
  if (typeof value === 'boolean') return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be true or false, not ${shown(value)}`,
    { details: { option, value: shown(value) } },
  )
}

/** Throws TIDEMARK_INVALID_OPTION unless `value` is an array. */
export function requireList(
  where: string,
  option: string,
  value: unknown,
): asserts value is readonly unknown[] {
  if (Array.isArray(value)) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a list, not ${shown(value)}`,
    { details: { option } },
  )
}

/** Throws TIDEMARK_INVALID_OPTION unless `value` is an array of texts that can be stored and looked for. */
export function requireTexts(
  where: string,
  option: string,
  value: unknown,
): asserts value is readonly string[] {
  requireList(where, option, value)
  for (const text of value) requireText(where, option, text)
}

/** Throws TIDEMARK_INVALID_OPTION unless `name` can name a listener, projection or event. */
export function requireName(where: string, name: unknown): asserts name is string {
  if (typeof name === 'string' && /^[\w.:/-]{1,200}$/u.test(name)) return
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where} needs a name, not ${shown(name)}`, {
    hint: 'Use letters, digits and the characters _ . : / - (at most 200), for instance "credit.facility_activated".',
  })
}

/** The candidate within an edit distance of a third of the word's length, if there is one. */
export function closest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Levenshtein's distance, a row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
