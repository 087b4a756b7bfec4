import { TidemarkError } from 'tidemark'

const earliest = Date.parse('0001-01-01T00:00:00Z')
const latest = Date.parse('9999-12-31T00:00:00Z')

/** A place in a list: right after this state. */
export interface Place {
  readonly createdAt: number
  readonly key: string
}

/** A place as callers hand it on. */
export function placeText({ createdAt, key }: Place): string {
  return Buffer.from(JSON.stringify([createdAt, key])).toString('base64url')
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION for what {@link placeText} has not made. */
export function placeOf(text: string): Place {
  try {
    const read: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (Array.isArray(read)) {
      const [createdAt, key] = read as unknown[]
      if (isTime(createdAt) && isKey(key)) return { createdAt, key }
    }
  } catch {
    // Not JSON: refused with everything else that is not a place.
  }
  throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'list: "after" is not the "next" of a page', {
    hint: 'Hand on what the page before has as `next`, unchanged.',
    details: { option: 'after' },
  })
}

// A place may be anything that somebody has made up: no backend is to meet a time or a key that it cannot say.
function isTime(time: unknown): time is number {
  return Number.isInteger(time) && (time as number) >= earliest && (time as number) <= latest
}

function isKey(key: unknown): key is string {
  return typeof key === 'string' && key.isWellFormed() && !key.includes('\0') && key.length <= 256
}

/**
 * The order of lists: those created last first, keys of the same millisecond downwards by their bytes.
 *
 * @returns below zero when `a` comes before `b`.
 */
export function inOrder(a: Place, b: Place): number {
  return b.createdAt - a.createdAt || Buffer.compare(Buffer.from(b.key), Buffer.from(a.key))
}
