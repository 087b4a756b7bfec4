import { preview, storableText, withoutPasswords } from './foreign-value.ts'
import { TidemarkError } from './tidemark-error.ts'

/** How long a text may be. */
export interface TextBounds {
  /** The least characters. Defaults to 1. */
  readonly least?: number
  /** The most bytes of UTF-8. Defaults to 1,000. */
  readonly most?: number
}

/** The most bytes of a key: what an index of Postgres takes, with room for what stands beside it. */
const longestKey = 1_000

/**
 * What is wrong with a text that is to be stored, found or locked by: nothing of it may be left for the server to find,
 * whose error would take the caller's transaction with it.
 *
 * @returns undefined when nothing is.
 */
export function problemOfText(
  text: unknown,
  { least = 1, most = longestKey }: TextBounds = {},
): string | undefined {
  if (typeof text !== 'string') return `must be a text, not ${shown(text)}`
  if (text.length < least) return least === 1 ? 'is empty' : `has less than ${least} characters`
  const bytes = Buffer.byteLength(text)
  if (bytes > most) return `has ${bytes} bytes, and may have ${most}`
  if (text.includes('\0')) return 'holds the character NUL, which Postgres cannot store'
  if (!text.isWellFormed()) return 'holds half of a surrogate pair, which is no character'
  return undefined
}

/** Throws TIDEMARK_INVALID_OPTION unless `text` can be stored, found and locked by. */
export function requireText(
  where: string,
  option: string,
  text: unknown,
  bounds: TextBounds = {},
): asserts text is string {
  const problem = problemOfText(text, bounds)
  if (problem === undefined) return
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "${option}" ${problem}`, {
    details: { option, value: shown(text) },
  })
}

/** Throws TIDEMARK_INVALID_OPTION unless `text` is a text, whatever it holds: it is cut and cleaned by who stores it. */
export function requireString(
  where: string,
  option: string,
  text: unknown,
): asserts text is string {
  if (typeof text === 'string') return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where}: "${option}" must be a text, not ${shown(text)}`,
    { details: { option, value: shown(text) } },
  )
}

const mostShown = 80

/** A value in a few words, whatever it is, without its passwords; a text in quotation marks. */
export function shown(value: unknown): string {
  if (typeof value !== 'string') return preview(value)
  return JSON.stringify(storableText(withoutPasswords(value), mostShown))
}
